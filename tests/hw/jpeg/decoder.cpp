// SPDX-License-Identifier: Apache-2.0
// Feeds files to a Verilated jpeg.Decoder and writes what comes out.
//
//   decoder STALL SEED FOLDER FILE...
//
// STALL is the probability that a side idles in a cycle. For file number N, FOLDER/N gets six
// int32 (status, detail, width, height, pixel words, cycles) and the rows, padded to whole words.
// Stream rules are checked on the way. Exit codes: 2 for a rule broken, 3 for a hang.
#include <algorithm>
#include <array>
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

constexpr int kContextBits = CONTEXTS > 1 ? 32 - __builtin_clz(CONTEXTS - 1) : 0;
constexpr size_t kBytes = 3 * PIXELS;  // of a pixel word
constexpr long kPatience = 400000;  // cycles without any transfer

uint64_t bits(const uint32_t* words, int low, int count) {
    uint64_t value = 0;
    for (int i = 0; i < count; i++) {
        value |= uint64_t(words[(low + i) / 32] >> ((low + i) % 32) & 1) << i;
    }
    return value;
}

struct Port {
    uint32_t* payload;
    CData* valid;
    CData* ready;
};

struct Slot {
    int file = -1;
    size_t position = 0;
    bool sent = false, offered = false;
    long start = 0;
    int words = 0, width = 0, height = 0;
    std::vector<uint8_t> data, pixels;
};

std::vector<uint8_t> read(const char* path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

}  // namespace

int main(int argc, char** argv) {
    const double stall = atof(argv[1]);
    std::mt19937 random(atoi(argv[2]));
    std::uniform_real_distribution<double> uniform(0, 1);
    const auto goes = [&] { return uniform(random) >= stall; };
    const std::string folder = argv[3];

    VerilatedContext context;
    Vdut dut(&context);
    // Verilator writes the second underscore of a pair as ___05F.
#define PORT(N) \
    Port{&dut.i___05F##N##___05Fpayload[0], &dut.i___05F##N##___05Fvalid, \
         &dut.i___05F##N##___05Fready}
    std::array<Port, CONTEXTS> ports = {
        PORT(0),
#if CONTEXTS > 1
        PORT(1),
#endif
#if CONTEXTS > 2
        PORT(2), PORT(3),
#endif
    };
    std::array<Slot, CONTEXTS> slots;

    const auto rise = [&] { dut.clk = 1; dut.eval(); };
    const auto fall = [&] { dut.clk = 0; dut.eval(); };
    dut.rst = 1;
    for (int i = 0; i < 4; i++) { fall(); rise(); }
    dut.rst = 0;

    const int files = argc - 4;
    int next = 0, done = 0;
    long cycle = 0, last = 0, symbols = 0;
    std::vector<uint32_t> held;
    for (; done < files; cycle++) {
        for (int c = 0; c < CONTEXTS; c++) {
            Slot& slot = slots[c];
            if (slot.file < 0 && next < files) {
                slot = Slot();
                slot.file = next++;
                slot.data = read(argv[4 + slot.file]);
                slot.start = last = cycle;
            }
            const bool sending = slot.file >= 0 && !slot.sent;
            if (sending && !slot.offered && goes()) {
                const size_t left = slot.data.size() - slot.position;
                const int count = int(std::min<size_t>(8, left));
                uint64_t word = 0;
                for (int b = 0; b < count; b++) {
                    word |= uint64_t(slot.data[slot.position + b]) << 8 * b;
                }
                ports[c].payload[0] = uint32_t(word);
                ports[c].payload[1] = uint32_t(word >> 32);
                ports[c].payload[2] = count | (left <= 8) << 4;
                slot.offered = true;
            }
            *ports[c].valid = sending && slot.offered;
        }
        dut.grant = 0;
        for (int c = 0; c < CONTEXTS; c++) dut.grant |= goes() << c;
        dut.o___05Fready = goes();
        dut.o_frame___05Fready = goes();
        dut.o_done___05Fready = goes();
        fall();

        symbols += dut.symbol;
        for (int c = 0; c < CONTEXTS; c++) {
            if (*ports[c].valid && *ports[c].ready) {
                slots[c].offered = false;
                slots[c].position += 8;
                slots[c].sent = slots[c].position >= slots[c].data.size();
                last = cycle;
            }
        }
        if (dut.o_frame___05Fvalid && dut.o_frame___05Fready) {
            const uint64_t word = dut.o_frame___05Fpayload;
            Slot& slot = slots[word & ((1 << kContextBits) - 1)];
            slot.width = word >> kContextBits & 0xffff;
            slot.height = word >> (kContextBits + 16) & 0xffff;
            slot.pixels.assign(size_t(slot.width + PIXELS - 1) / PIXELS * kBytes * slot.height, 0);
        }
        const uint32_t* pixels = &dut.o___05Fpayload[0];
        if (!held.empty() &&
            (!dut.o___05Fvalid || !std::equal(held.begin(), held.end(), pixels))) {
            fprintf(stderr, "a pixel word changed while it waited, cycle %ld\n", cycle);
            return 2;
        }
        held.clear();
        if (dut.o___05Fvalid && !dut.o___05Fready) {
            held.assign(pixels, pixels + (kContextBits + 8 * int(kBytes) + 2 + 31) / 32);
        } else if (dut.o___05Fvalid) {
            Slot& slot = slots[bits(pixels, 0, kContextBits)];
            for (size_t b = 0, at = size_t(slot.words) * kBytes; b < kBytes; b++, at++) {
                if (at < slot.pixels.size()) {
                    slot.pixels[at] = uint8_t(bits(pixels, kContextBits + 8 * int(b), 8));
                }
            }
            slot.words++;
            last = cycle;
        }
        if (dut.o_done___05Fvalid && dut.o_done___05Fready) {
            const uint64_t word = dut.o_done___05Fpayload;
            Slot& slot = slots[word & ((1 << kContextBits) - 1)];
            const int32_t head[6] = {
                int32_t(word >> kContextBits & 15), int32_t(word >> (kContextBits + 4) & 255),
                slot.width, slot.height, slot.words, int32_t(cycle - slot.start)};
            std::ofstream out(folder + "/" + std::to_string(slot.file), std::ios::binary);
            out.write(reinterpret_cast<const char*>(head), sizeof head);
            out.write(reinterpret_cast<const char*>(slot.pixels.data()), slot.pixels.size());
            slot = Slot();
            done++;
            last = cycle;
        }
        rise();
        if (cycle - last > kPatience) {
            fprintf(stderr, "hang: %d of %d files done, cycle %ld\n", done, files, cycle);
            return 3;
        }
    }
    printf("%ld %ld\n", cycle, symbols);
}
