// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

// Decides in which cycles a channel stalls: each with the same probability, from a seed.
class Stall {
  public:
    void configure(double probability, uint64_t seed) {
        threshold_ = static_cast<uint64_t>(probability * 4294967296.0);
        state_ = seed * 0x9e3779b97f4a7c15ull + 0x2545f4914f6cdd1dull;
    }

    bool operator()() {
        if (threshold_ == 0)
            return false;
        // xorshift64*: the high half is uniform.
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return (state_ * 0x2545f4914f6cdd1dull) >> 32 < threshold_;
    }

  private:
    uint64_t threshold_ = 0;
    uint64_t state_ = 1;
};
