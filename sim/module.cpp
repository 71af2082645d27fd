// SPDX-License-Identifier: Apache-2.0
#include <pybind11/pybind11.h>

#include "card.hpp"
#include "memory.hpp"

PYBIND11_MODULE(_sim, module) {
    module.doc() = "The simulated card: its RTL, compiled, with a memory attached.";
    register_memory(module);
    register_card(module);
}
