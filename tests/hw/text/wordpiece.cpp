// SPDX-License-Identifier: Apache-2.0
// Feeds texts to a Verilated WordPiece kernel and writes its tokens.
//
//   wordpiece STALL SEED FOLDER
//
// STALL is the probability that a side idles in a cycle. FOLDER holds `writes` (table, address,
// data as uint64), `entries` (uint32 of each code point), and `texts`: int32 count, then for each
// text its number of characters and the characters; -1 stands for malformed bytes. With PAYLOADS
// defined, the kernel has a decoder and a map of characters in front, FOLDER has `image` in place
// of `entries`, and texts are bytes. Into FOLDER go `tokens` and `ends`: for each text the number
// of its tokens, status, and detail. Prints the cycles from the first character to the last end.
// Stream rules are checked on the way. Exit codes: 2 for a rule broken, 3 for a hang.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "Vdut.h"
#include "verilated.h"

namespace {

constexpr long kPatience = 20000;  // cycles without any transfer
constexpr int kLanes = 4, kCode = 21;

template <typename T>
std::vector<T> load(const std::string& path) {
    std::ifstream stream(path, std::ios::binary);
    const std::vector<char> raw{std::istreambuf_iterator<char>(stream), {}};
    std::vector<T> values(raw.size() / sizeof(T));
    std::copy(raw.begin(), raw.end(), reinterpret_cast<char*>(values.data()));
    return values;
}

template <typename T>
void save(const std::string& path, const std::vector<T>& values) {
    std::ofstream stream(path, std::ios::binary);
    stream.write(reinterpret_cast<const char*>(values.data()),
                 std::streamsize(values.size() * sizeof(T)));
}

void put(uint32_t* words, int low, int count, uint64_t value) {
    for (int i = 0; i < count; i++) {
        const int at = low + i;
        words[at / 32] = (words[at / 32] & ~(1u << at % 32)) |
                         uint32_t(value >> i & 1) << at % 32;
    }
}

[[noreturn]] void broken(const char* rule, long cycle) {
    fprintf(stderr, "%s, cycle %ld\n", rule, cycle);
    exit(2);
}

}  // namespace

int main(int, char** argv) {
    const double stall = atof(argv[1]);
    std::mt19937 random(atoi(argv[2]));
    std::uniform_real_distribution<double> uniform(0, 1);
    const auto goes = [&] { return stall == 0 || uniform(random) >= stall; };
    const std::string folder = argv[3];

    VerilatedContext context;
    Vdut dut(&context);
    const auto rise = [&] { dut.clk = 1; dut.eval(); };
    const auto fall = [&] { dut.clk = 0; dut.eval(); };
    dut.rst = 1;
    for (int i = 0; i < 4; i++) { fall(); rise(); }
    dut.rst = 0;

    const auto writes = load<uint64_t>(folder + "/writes");
    dut.write_valid = 1;
    for (size_t i = 0; i < writes.size(); i += 3) {
        dut.write = writes[i] | writes[i + 1] << 2 | writes[i + 2] << 18;
        fall();
        rise();
    }
    dut.write_valid = 0;
#ifdef PAYLOADS
    const auto image = load<uint32_t>(folder + "/image");
    dut.map_write_valid = 1;
    for (size_t i = 0; i < image.size(); i++) {
        dut.map_write = uint64_t(image[i]) | uint64_t(i) << ENTRY_WIDTH;
        fall();
        rise();
    }
    dut.map_write_valid = 0;
    const auto texts = load<uint8_t>(folder + "/texts");
    const auto lengths = load<int32_t>(folder + "/lengths");
    const int total = int(lengths.size());
#else
    const auto entries = load<uint32_t>(folder + "/entries");
    const auto texts = load<int32_t>(folder + "/texts");
    const int total = texts[0];
#endif

    std::vector<uint32_t> tokens;
    std::vector<int32_t> ends;
    size_t at = 0;        // of the next character
    int sent = 0;         // texts
    int32_t left = -1;    // characters of the current text
    bool offered = false, held = false, done_held = false;
    uint32_t beat[3] = {};
    uint16_t done_beat = 0;
    int32_t count = 0;
    int texts_out = 0, texts_done = 0;
    long cycle = 0, last = 0, extra = 300, finish = 0;
#ifndef PAYLOADS
    at = 1;
#endif
    for (; texts_done < total || extra-- > 0; cycle++) {
        if (!offered && sent < total && goes()) {
#ifdef PAYLOADS
            if (left < 0) left = lengths[sent];
            const int n = std::min(8, left);
            uint32_t* word = &dut.i___05Fpayload[0];
            for (int b = 0; b < 8; b++) {  // what is beyond the end must not matter
                put(word, 8 * b, 8, b < n ? texts[at + b] : random());
            }
            word[2] = uint32_t(n | (left <= 8) << 4);
            at += n;
            left -= n;
            if (left == 0) { left = -1; sent++; }
#else
            if (left < 0) left = texts[at++];
            uint32_t* beat = &dut.i___05Fpayload[0];
            int n = 0;
            const int most = stall == 0 ? kLanes : 1 + int(random() % kLanes);
            for (; n < std::min(most, left) && texts[at + n] >= 0; n++) {
                const bool ascii = texts[at + n] < 128;
                if (n && !ascii) break;
                put(beat, kCode * n, kCode, texts[at + n]);
                put(beat, kCode * kLanes + 5 + ENTRY_WIDTH * n, ENTRY_WIDTH,
                    entries[texts[at + n]]);
                if (!ascii) { n++; break; }
            }
            for (int k = n; k < kLanes; k++) {  // must not matter
                put(beat, kCode * k, kCode, random());
                put(beat, kCode * kLanes + 5 + ENTRY_WIDTH * k, ENTRY_WIDTH, random());
            }
            const bool malformed = n == 0 && left;
            at += n + malformed;
            left -= n + malformed;
            // The end may come with the last characters, or behind.
            const bool end = left == 0 && (n == 0 || stall == 0 || random() % 2);
            put(beat, kCode * kLanes, 3, n);
            put(beat, kCode * kLanes + 3, 2, end | malformed << 1);
            if (end) { left = -1; sent++; }
#endif
            offered = true;
        }
        dut.i___05Fvalid = offered;
        dut.o___05Fready = goes();
        dut.o_done___05Fready = goes();
        fall();
        if (dut.i___05Fvalid && dut.i___05Fready) {
            offered = false;
            last = cycle;
        }

        const uint32_t* o = &dut.o___05Fpayload[0];
        if (held && (!dut.o___05Fvalid || !std::equal(o, o + 3, beat))) {
            broken("an element changed while it waited", cycle);
        }
        held = dut.o___05Fvalid && !dut.o___05Fready;
        std::copy(o, o + 3, beat);
        if (dut.o___05Fvalid && dut.o___05Fready) {
            const int bytes = o[2] & 15;
            if (o[2] & 16) {
                if (texts_out++ != texts_done) broken("an end before the status", cycle);
                if (bytes) broken("a last element that is not empty", cycle);
            } else {
                if (bytes != 4 || o[1]) broken("an element that is no token", cycle);
                tokens.push_back(o[0]);
                count++;
            }
            last = cycle;
        }
        const uint16_t done = dut.o_done___05Fpayload;
        if (done_held && (!dut.o_done___05Fvalid || done != done_beat)) {
            broken("a status changed while it waited", cycle);
        }
        done_held = dut.o_done___05Fvalid && !dut.o_done___05Fready;
        done_beat = done;
        if (dut.o_done___05Fvalid && dut.o_done___05Fready) {
            if (++texts_done > texts_out) broken("a status before the end", cycle);
            ends.insert(ends.end(), {count, done & 15, done >> 4});
            count = 0;
            last = finish = cycle;
        }
        rise();
        if (cycle - last > kPatience) {
            fprintf(stderr, "hang: %d of %d texts done, cycle %ld\n", texts_done, total, cycle);
            return 3;
        }
    }
    save(folder + "/tokens", tokens);
    save(folder + "/ends", ends);
    printf("%ld\n", finish + 1);
}
