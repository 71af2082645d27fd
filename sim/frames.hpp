// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "Vcard.h"
#include "card_config.hpp"
#include "stall.hpp"

// The other end of the cable: whole frames to and from the card's AXI4-Stream ports, beat by beat,
// a beat a cycle unless one of both stalls. Frames have no check sequence.
//
// In each cycle, `before_edge` runs when all signals have settled, `after_edge` when the card has
// seen the rising edge.
class Frames {
  public:
    static constexpr size_t BEAT = HEADRACE_WIRE / 8; // bytes

    explicit Frames(Vcard &pins) : pins_(pins) { reset(); }

    void reset() {
        arriving_.clear();
        left_.clear();
        leaving_.clear();
        at_ = 0;
        pins_.s_axis_rx_tvalid = pins_.m_axis_tx_tready = 0;
    }

    void configure(double rx, double tx, uint64_t seed) {
        rx_stall_.configure(rx, seed * 2);
        tx_stall_.configure(tx, seed * 2 + 1);
    }

    void send(std::string frame) {
        if (!frame.empty())
            arriving_.push_back(std::move(frame));
    }

    std::vector<std::string> take() {
        std::vector<std::string> frames(std::make_move_iterator(left_.begin()),
                                        std::make_move_iterator(left_.end()));
        left_.clear();
        return frames;
    }

    // Frames, or parts of some, that the card has not taken.
    size_t waiting() const { return arriving_.size(); }
    uint64_t transfers() const { return transfers_; }

    void before_edge() {
        rx_ = pins_.s_axis_rx_tvalid && pins_.s_axis_rx_tready;
        if (pins_.m_axis_tx_tvalid && pins_.m_axis_tx_tready) {
            uint8_t beat[BEAT];
            std::memcpy(beat, &pins_.m_axis_tx_tdata, BEAT);
            uint64_t keep = pins_.m_axis_tx_tkeep;
            size_t count = 0;
            for (; keep & 1; keep >>= 1)
                count++;
            leaving_.append(reinterpret_cast<char *>(beat), count);
            if (pins_.m_axis_tx_tlast) {
                left_.push_back(std::move(leaving_));
                leaving_.clear();
            }
            transfers_++;
        }
        transfers_ += rx_;
    }

    void after_edge() {
        if (rx_) {
            at_ += BEAT;
            if (at_ >= arriving_.front().size()) {
                arriving_.pop_front();
                at_ = 0;
            }
        }
        if (rx_ || !pins_.s_axis_rx_tvalid)
            offer();
        pins_.m_axis_tx_tready = !tx_stall_();
    }

  private:
    void offer() {
        const bool valid = !arriving_.empty() && !rx_stall_();
        pins_.s_axis_rx_tvalid = valid;
        if (!valid)
            return;
        const std::string &frame = arriving_.front();
        const size_t count = std::min(BEAT, frame.size() - at_);
        uint8_t beat[BEAT] = {};
        std::memcpy(beat, frame.data() + at_, count);
        std::memcpy(&pins_.s_axis_rx_tdata, beat, BEAT);
        pins_.s_axis_rx_tkeep = ~0ull >> (64 - count);
        pins_.s_axis_rx_tlast = at_ + count == frame.size();
        pins_.s_axis_rx_tuser = 0;
    }

    Vcard &pins_;
    std::deque<std::string> arriving_, left_;
    std::string leaving_;
    size_t at_ = 0; // bytes of the first arriving frame that were taken
    bool rx_ = false;
    uint64_t transfers_ = 0;
    Stall rx_stall_, tx_stall_;
};
