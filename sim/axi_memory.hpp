// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <string>

#include "Vcard.h"
#include "memory.hpp"
#include "stall.hpp"

// The memory as an AXI4 subordinate of `m_axi_gmem`: in order, any number of bursts outstanding.
//
// A burst outside the memory is answered with DECERR; it and everything that breaks the protocol
// is recorded as a fault. The first fault is kept.
//
// In each cycle, `before_edge` runs when all signals have settled, `after_edge` when the card has
// seen the rising edge.
class AxiMemory {
  public:
    static constexpr uint64_t BEAT = 64;       // bytes
    static constexpr size_t OUTSTANDING = 64;  // bursts accepted ahead, each way
    enum Channel { AR, R, AW, W, B, CHANNELS };

    AxiMemory(Vcard &pins, Memory &memory) : pins_(pins), memory_(memory) { reset(); }

    void reset() {
        reads_.clear();
        writes_.clear();
        responses_.clear();
        seen_ = {};
        pins_.m_axi_gmem_arready = pins_.m_axi_gmem_awready = pins_.m_axi_gmem_wready = 0;
        pins_.m_axi_gmem_rvalid = pins_.m_axi_gmem_bvalid = 0;
    }

    void configure(const std::array<double, CHANNELS> &stalls, uint64_t latency, uint64_t seed) {
        latency_ = latency;
        for (int channel = 0; channel < CHANNELS; channel++)
            stalls_[channel].configure(stalls[channel], seed * CHANNELS + channel);
    }

    void before_edge(uint64_t cycle) {
        Edge &now = edge_;
        now.ar = pins_.m_axi_gmem_arvalid && pins_.m_axi_gmem_arready;
        now.aw = pins_.m_axi_gmem_awvalid && pins_.m_axi_gmem_awready;
        now.w = pins_.m_axi_gmem_wvalid && pins_.m_axi_gmem_wready;
        now.r = pins_.m_axi_gmem_rvalid && pins_.m_axi_gmem_rready;
        now.b = pins_.m_axi_gmem_bvalid && pins_.m_axi_gmem_bready;
        watch(AR, pins_.m_axi_gmem_arvalid, now.ar, pins_.m_axi_gmem_araddr);
        watch(AW, pins_.m_axi_gmem_awvalid, now.aw, pins_.m_axi_gmem_awaddr);
        watch(W, pins_.m_axi_gmem_wvalid, now.w, pins_.m_axi_gmem_wstrb);
        if (now.ar)
            reads_.push_back(burst("read", pins_.m_axi_gmem_araddr, pins_.m_axi_gmem_arlen,
                                   pins_.m_axi_gmem_arsize, pins_.m_axi_gmem_arburst,
                                   pins_.m_axi_gmem_arid, cycle));
        if (now.aw)
            writes_.push_back(burst("write", pins_.m_axi_gmem_awaddr, pins_.m_axi_gmem_awlen,
                                    pins_.m_axi_gmem_awsize, pins_.m_axi_gmem_awburst,
                                    pins_.m_axi_gmem_awid, cycle));
        if (now.w)
            write_beat(cycle);
        transfers_ += now.ar + now.aw + now.w + now.r + now.b;
    }

    void after_edge(uint64_t cycle) {
        const Edge now = edge_;
        if (now.r) {
            Burst &burst = reads_.front();
            if (burst.beats-- == 0)
                reads_.pop_front();
            else
                burst.address += BEAT;
        }
        if (now.b)
            responses_.pop_front();

        // An offered beat stays until it is taken; a new one may be delayed by a stall.
        if (now.r || !pins_.m_axi_gmem_rvalid)
            offer_read(cycle);
        if (now.b || !pins_.m_axi_gmem_bvalid)
            offer_response(cycle);
        pins_.m_axi_gmem_arready = reads_.size() < OUTSTANDING && !stalls_[AR]();
        pins_.m_axi_gmem_awready = writes_.size() < OUTSTANDING && !stalls_[AW]();
        pins_.m_axi_gmem_wready = !writes_.empty() && !stalls_[W]();
    }

    bool quiet() const { return reads_.empty() && writes_.empty() && responses_.empty(); }

    // Transfers on all channels since the beginning.
    uint64_t transfers() const { return transfers_; }

    // The first fault since the last call, empty if there was none.
    std::string take_fault() {
        std::string fault = std::move(fault_);
        fault_.clear();
        return fault;
    }

  private:
    struct Burst {
        uint64_t address, due;
        unsigned beats; // that follow the current one
        uint8_t id;
        bool error;
    };

    struct Edge {
        bool ar, r, aw, w, b;
    };

    struct Seen {
        bool waiting;
        uint64_t value;
    };

    void fail(const char *what, uint64_t address) {
        if (!fault_.empty())
            return;
        char text[160];
        std::snprintf(text, sizeof text, "%s at address 0x%llx", what,
                      static_cast<unsigned long long>(address));
        fault_ = text;
    }

    // A channel that was offered and not taken must be offered again, unchanged.
    void watch(Channel channel, bool valid, bool taken, uint64_t value) {
        Seen &seen = seen_[channel];
        if (seen.waiting && (!valid || value != seen.value))
            fail("AXI channel changed before it was taken", seen.value);
        seen = {valid && !taken, value};
    }

    Burst burst(const char *what, uint64_t address, unsigned len, unsigned size, unsigned type,
                uint8_t id, uint64_t cycle) {
        const uint64_t first = address & ~(BEAT - 1), length = (len + 1) * BEAT;
        const bool error = !memory_.holds(first, length);
        if (error)
            fail(what[0] == 'r' ? "read outside the card's memory"
                                : "write outside the card's memory", address);
        if ((address & 4095) / BEAT + len + 1 > 4096 / BEAT)
            fail("AXI burst crosses a 4 KiB boundary", address);
        if (size != 6 || type != 1)
            fail("AXI burst is not INCR of 64-byte beats", address);
        return {first, cycle + latency_, len, id, error};
    }

    void write_beat(uint64_t cycle) {
        Burst &burst = writes_.front();
        if (!burst.error) {
            uint8_t data[BEAT];
            std::memcpy(data, &pins_.m_axi_gmem_wdata, BEAT);
            const uint64_t strobes = pins_.m_axi_gmem_wstrb;
            uint8_t *target = memory_.at(burst.address);
            if (strobes == ~0ull)
                std::memcpy(target, data, BEAT);
            else
                for (unsigned byte = 0; byte < BEAT; byte++)
                    if (strobes >> byte & 1)
                        target[byte] = data[byte];
        }
        if (pins_.m_axi_gmem_wlast != (burst.beats == 0))
            fail("AXI write burst has WLAST in the wrong beat", burst.address);
        burst.address += BEAT;
        if (burst.beats-- == 0) {
            burst.due = cycle + latency_;
            responses_.push_back(burst);
            writes_.pop_front();
        }
    }

    void offer_read(uint64_t cycle) {
        const bool valid = !reads_.empty() && reads_.front().due <= cycle && !stalls_[R]();
        pins_.m_axi_gmem_rvalid = valid;
        if (!valid)
            return;
        const Burst &burst = reads_.front();
        if (burst.error)
            std::memset(&pins_.m_axi_gmem_rdata, 0, BEAT);
        else
            std::memcpy(&pins_.m_axi_gmem_rdata, memory_.at(burst.address), BEAT);
        pins_.m_axi_gmem_rid = burst.id;
        pins_.m_axi_gmem_rresp = burst.error ? DECERR : OKAY;
        pins_.m_axi_gmem_rlast = burst.beats == 0;
    }

    void offer_response(uint64_t cycle) {
        const bool valid = !responses_.empty() && responses_.front().due <= cycle && !stalls_[B]();
        pins_.m_axi_gmem_bvalid = valid;
        if (!valid)
            return;
        pins_.m_axi_gmem_bid = responses_.front().id;
        pins_.m_axi_gmem_bresp = responses_.front().error ? DECERR : OKAY;
    }

    static constexpr unsigned OKAY = 0, DECERR = 3;

    Vcard &pins_;
    Memory &memory_;
    std::deque<Burst> reads_, writes_, responses_;
    std::array<Stall, CHANNELS> stalls_;
    std::array<Seen, CHANNELS> seen_{};
    Edge edge_{};
    uint64_t latency_ = 0; // cycles from address to first data, from last data to response
    uint64_t transfers_ = 0;
    std::string fault_;
};
