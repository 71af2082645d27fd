// SPDX-License-Identifier: Apache-2.0
// Feeds texts to a Verilated text.Hashing and writes what comes out.
//
//   bench STALL SEED TABLE TEXTS RESULTS
//
// STALL is the probability that a side idles in a cycle. TABLE holds the table of characters as
// uint32. TEXTS holds for each text its configuration as CONFIG_WORDS uint32, its length as uint32
// and its bytes; RESULTS gets for each text status, detail and number of features as int32, the
// cycle of its end as int64, and the features as they are sent. Stream rules are checked on the
// way. Exit codes: 2 for a rule broken, 3 for a hang.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "Vdut.h"
#include "stall.hpp"
#include "verilated.h"

namespace {

constexpr long kPatience = 20000;  // cycles without any transfer

template <class T>
std::vector<T> read(const char* path) {
    std::ifstream stream(path, std::ios::binary);
    const std::vector<char> raw{std::istreambuf_iterator<char>(stream), {}};
    std::vector<T> items(raw.size() / sizeof(T));
    memcpy(items.data(), raw.data(), items.size() * sizeof(T));
    return items;
}

struct Text {
    size_t config, begin, size;
};

[[noreturn]] void fail(int code, const char* what, long cycle) {
    fprintf(stderr, "%s, cycle %ld\n", what, cycle);
    exit(code);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 6) return 1;
    Stall i_stall, config_stall, o_stall, done_stall;
    const double stall = atof(argv[1]);
    const uint64_t seed = atoi(argv[2]);
    i_stall.configure(stall, seed);
    config_stall.configure(stall, seed + 1000);
    o_stall.configure(stall, seed + 2000);
    done_stall.configure(stall, seed + 3000);
    const auto table = read<uint32_t>(argv[3]);
    const auto input = read<uint8_t>(argv[4]);
    std::ofstream out(argv[5], std::ios::binary);

    std::vector<Text> texts;
    for (size_t at = 0; at < input.size();) {
        Text text{at, at + 4 * CONFIG_WORDS + 4, 0};
        uint32_t size;
        memcpy(&size, &input[text.begin - 4], 4);
        text.size = size;
        texts.push_back(text);
        at = text.begin + size;
    }

    VerilatedContext context;
    Vdut dut(&context);
    const auto rise = [&] { dut.clk = 1; dut.eval(); };
    const auto fall = [&] { dut.clk = 0; dut.eval(); };
    dut.rst = 1;
    for (int i = 0; i < 4; i++) { fall(); rise(); }
    dut.rst = 0;
    for (size_t n = 0; n < table.size(); n++) {
        dut.write = table[n] | uint64_t(n) << WRITE_ADDRESS;
        dut.write_valid = 1;
        fall(); rise();
    }
    dut.write_valid = 0;

    size_t sending = 0, position = 0, configured = 0, ending = 0;
    long cycle = 0, last = 0;
    bool i_offered = false, config_offered = false, ended = false;
    std::vector<uint64_t> features;
    uint32_t held[3];
    bool holding = false;
    while (ending < texts.size()) {
        if (sending < texts.size() && !i_offered && !i_stall()) {
            const Text& text = texts[sending];
            const size_t left = text.size - position;
            const uint32_t count = std::min<size_t>(8, left);
            dut.i___05Fpayload[0] = dut.i___05Fpayload[1] = 0xffffffff;
            memcpy(&dut.i___05Fpayload[0], &input[text.begin + position], count);
            dut.i___05Fpayload[2] = count | uint32_t(left <= 8) << 4;
            i_offered = true;
        }
        dut.i___05Fvalid = i_offered;
        if (configured < texts.size() && !config_offered && !config_stall()) {
            memcpy(&dut.config___05Fpayload[0], &input[texts[configured].config],
                   4 * CONFIG_WORDS);
            config_offered = true;
        }
        dut.config___05Fvalid = config_offered;
        dut.o___05Fready = !o_stall();
        dut.o_done___05Fready = !done_stall();
        fall();

        if (i_offered && dut.i___05Fready) {
            i_offered = false;
            last = cycle;
            position += 8;
            if (position >= texts[sending].size) {
                position = 0;
                sending++;
            }
        }
        if (config_offered && dut.config___05Fready) {
            config_offered = false;
            configured++;
        }
        if (holding && (!dut.o___05Fvalid || memcmp(held, &dut.o___05Fpayload[0], 12))) {
            fail(2, "a feature changed while it waited", cycle);
        }
        holding = dut.o___05Fvalid && !dut.o___05Fready;
        memcpy(held, &dut.o___05Fpayload[0], 12);
        if (dut.o_done___05Fvalid && dut.o_done___05Fready) {
            if (!ended) fail(2, "a text is done before its last feature", cycle);
            ended = false;
            last = cycle;
            const int32_t head[3] = {dut.o_done___05Fpayload & 15,
                                     dut.o_done___05Fpayload >> 4 & 255, int32_t(features.size())};
            const int64_t now = cycle;
            out.write(reinterpret_cast<const char*>(head), sizeof head);
            out.write(reinterpret_cast<const char*>(&now), sizeof now);
            out.write(reinterpret_cast<const char*>(features.data()), 8 * features.size());
            features.clear();
            ending++;
        }
        if (dut.o___05Fvalid && dut.o___05Fready) {
            if (ended) fail(2, "a feature after the last one", cycle);
            last = cycle;
            const uint32_t bytes = held[2] & 15;
            ended = held[2] >> 4 & 1;
            if (bytes == 8) {
                features.push_back(held[0] | uint64_t(held[1]) << 32);
            } else if (bytes || !ended) {
                fail(2, "a beat without a feature", cycle);
            }
        }
        rise();
        if (++cycle - last > kPatience) fail(3, "hang", cycle);
    }
    dut.i___05Fvalid = dut.config___05Fvalid = 0;
    dut.o___05Fready = dut.o_done___05Fready = 1;
    for (int i = 0; i < 100; i++) {
        fall();
        if (dut.o___05Fvalid || dut.o_done___05Fvalid) fail(2, "more results than texts", cycle);
        rise();
    }
    return 0;
}
