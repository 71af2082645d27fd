// SPDX-License-Identifier: Apache-2.0
// Feeds items to the streams of any Verilated component and writes what comes out.
//
//   bench STALL SEED FOLDER
//
// In ports.hpp, INPUTS and OUTPUTS list the streams as PORT(name, words of an item). Items are
// files FOLDER/name of so many uint32 each; what comes out goes to FOLDER/name likewise, each item
// followed by its cycle as uint32. The first FIRST inputs are sent before the others begin. It
// ends when nothing has moved for QUIET cycles. STALL is the probability that a side idles in a
// cycle. Exit code 2: a stream rule was broken.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "Vdut.h"
#include "ports.hpp"
#include "stall.hpp"
#include "verilated.h"

namespace {

using Words = std::vector<uint32_t>;

template <class T>
void put(T& port, const uint32_t* item) { port = T(item[0]); }
void put(QData& port, const uint32_t* item) { port = item[0] | QData(item[1]) << 32; }
template <std::size_t N>
void put(VlWide<N>& port, const uint32_t* item) { memcpy(&port[0], item, 4 * N); }

Words get(uint64_t port, size_t words) {
    Words item{uint32_t(port), uint32_t(port >> 32)};
    item.resize(words);
    return item;
}
template <std::size_t N>
Words get(const VlWide<N>& port, size_t words) { return {&port[0], &port[0] + words}; }

struct Stream {
    const char* name;
    size_t words;
    Stall stall;
    Words items;
    size_t at = 0;
    bool offered = false;
    Words held;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) return 1;
    const std::string folder = argv[3];
    uint64_t seed = atoi(argv[2]) * 100;
#define PORT(name, words) {#name, words},
    std::vector<Stream> inputs = {INPUTS}, outputs = {OUTPUTS};
#undef PORT
    for (auto* streams : {&inputs, &outputs}) {
        for (Stream& stream : *streams) stream.stall.configure(atof(argv[1]), ++seed);
    }
    for (Stream& stream : inputs) {
        std::ifstream file(folder + "/" + stream.name, std::ios::binary);
        const std::vector<char> raw{std::istreambuf_iterator<char>(file), {}};
        stream.items.resize(raw.size() / 4);
        memcpy(stream.items.data(), raw.data(), raw.size());
    }

    VerilatedContext context;
    Vdut dut(&context);
    const auto rise = [&] { dut.clk = 1; dut.eval(); };
    const auto fall = [&] { dut.clk = 0; dut.eval(); };
    dut.rst = 1;
    for (int i = 0; i < 4; i++) { fall(); rise(); }
    dut.rst = 0;
    uint32_t cycle = 0;
    for (uint32_t moved = 0; cycle - moved < QUIET; cycle++) {
        bool open = true;
        for (size_t n = 0; n < FIRST; n++) open &= inputs[n].at == inputs[n].items.size();
        Stream* stream = inputs.data();
        // Verilator writes the second underscore of a pair as ___05F.
#define PORT(port, width) \
        if (!stream->offered && (open || stream < inputs.data() + FIRST) && \
            stream->at < stream->items.size() && !stream->stall()) { \
            put(dut.port##___05Fpayload, &stream->items[stream->at]); \
            stream->offered = true; \
        } \
        dut.port##___05Fvalid = stream++->offered;
        INPUTS
#undef PORT
        stream = outputs.data();
#define PORT(port, width) dut.port##___05Fready = !stream++->stall();
        OUTPUTS
#undef PORT
        fall();
        stream = inputs.data();
#define PORT(port, width) \
        if (stream->offered && dut.port##___05Fready) { \
            stream->offered = false; \
            stream->at += width; \
            moved = cycle; \
        } \
        stream++;
        INPUTS
#undef PORT
        stream = outputs.data();
#define PORT(port, width) { \
            Words item; \
            if (dut.port##___05Fvalid) item = get(dut.port##___05Fpayload, width); \
            if (!stream->held.empty() && stream->held != item) { \
                fprintf(stderr, "%s changed while it waited, cycle %u\n", #port, cycle); \
                return 2; \
            } \
            stream->held.clear(); \
            if (!item.empty() && dut.port##___05Fready) { \
                stream->items.insert(stream->items.end(), item.begin(), item.end()); \
                stream->items.push_back(cycle); \
                moved = cycle; \
            } else { \
                stream->held = item; \
            } \
            stream++; \
        }
        OUTPUTS
#undef PORT
        rise();
    }
    for (const Stream& stream : outputs) {
        std::ofstream file(folder + "/" + stream.name, std::ios::binary);
        file.write(reinterpret_cast<const char*>(stream.items.data()), 4 * stream.items.size());
    }
    return 0;
}
