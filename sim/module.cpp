// SPDX-License-Identifier: Apache-2.0
#include <pybind11/pybind11.h>

#include "card.hpp"
#include "memory.hpp"

// Each configuration of the card is a module of its own.
PYBIND11_MODULE(HEADRACE_MODULE, module) {
    module.doc() = "The simulated card: its RTL, compiled, with a memory attached.";
    register_memory(module);
    register_card(module);
}
