// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "Vcard.h"
#include "axi_memory.hpp"
#include "card_config.hpp"
#if HEADRACE_WIRE
#include "frames.hpp"
#endif
#include "memory.hpp"
#include "verilated.h"

// Nothing that a card does lasts as long without a transfer to or from memory.
class Stuck : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

// One simulated card: the compiled RTL, its memory, and the host's end of the control port.
//
// Instances are independent; each must be used by one thread at a time.
class Card {
  public:
    Card(uint64_t memory_size, uint64_t patience)
        : memory_(std::make_shared<Memory>(memory_size)),
          rtl_(std::make_unique<Vcard>(alone(context_))), axi_(*rtl_, *memory_), patience_(patience) {
        reset();
    }
    ~Card() { rtl_->final(); }

    std::shared_ptr<Memory> memory() const { return memory_; }
    uint64_t cycles() const { return cycles_; }
    uint64_t transfers() const { return axi_.transfers(); }
    std::string take_fault() { return axi_.take_fault(); }

    void configure(const std::array<double, AxiMemory::CHANNELS> &stalls, uint64_t latency,
                   uint64_t seed) {
        axi_.configure(stalls, latency, seed);
    }

#if HEADRACE_WIRE
    void configure_network(double rx, double tx, uint64_t seed) {
        frames_.configure(rx, tx, seed);
    }

    void send(const std::vector<pybind11::bytes> &frames) {
        for (const auto &frame : frames)
            frames_.send(frame);
    }

    std::vector<pybind11::bytes> take_frames() {
        std::vector<pybind11::bytes> result;
        for (const auto &frame : frames_.take())
            result.emplace_back(frame);
        return result;
    }

    // Clock until nothing happens any more, for `budget` cycles at most; return whether it does.
    // Not before all frames that were sent have been taken.
    bool work(uint64_t budget) {
        uint64_t seen = 0, quiet = 0;
        for (uint64_t n = 0; n < budget; n++) {
            tick();
            const uint64_t transfers = axi_.transfers() + frames_.transfers();
            const bool still = transfers == seen && !frames_.waiting() && !rtl_->image_wanted &&
                               !rtl_->text_wanted;
            seen = transfers;
            quiet = still ? quiet + 1 : 0;
            if (quiet == REST)
                return false;
        }
        last_progress_ = cycles_;
        return true;
    }
#endif

    void reset() {
        rtl_->s_axi_control_awvalid = rtl_->s_axi_control_wvalid = 0;
        rtl_->s_axi_control_arvalid = 0;
        rtl_->s_axi_control_bready = rtl_->s_axi_control_rready = 0;
        axi_.reset();
#if HEADRACE_WIRE
        frames_.reset();
#endif
        rtl_->ap_rst_n = 0;
        for (int n = 0; n < 16; n++)
            tick();
        axi_.reset();
        axi_.take_fault();
        rtl_->ap_rst_n = 1;
        tick();
        last_progress_ = cycles_;
    }

    void write_register(uint32_t address, uint32_t value) {
        rtl_->s_axi_control_awaddr = address;
        rtl_->s_axi_control_wdata = value;
        rtl_->s_axi_control_wstrb = 0xf;
        rtl_->s_axi_control_awvalid = rtl_->s_axi_control_wvalid = 1;
        rtl_->s_axi_control_bready = 1;
        bool answered = false;
        unsigned response = 0;
        for (int n = 0; !answered; n++) {
            if (n == HANDSHAKE)
                throw Stuck("The control port does not take a write");
            settle();
            const bool aw = rtl_->s_axi_control_awvalid && rtl_->s_axi_control_awready;
            const bool w = rtl_->s_axi_control_wvalid && rtl_->s_axi_control_wready;
            answered = rtl_->s_axi_control_bvalid;
            response = rtl_->s_axi_control_bresp;
            edge();
            if (aw)
                rtl_->s_axi_control_awvalid = 0;
            if (w)
                rtl_->s_axi_control_wvalid = 0;
        }
        rtl_->s_axi_control_bready = 0;
        check(response, "write", address);
    }

    uint32_t read_register(uint32_t address) {
        rtl_->s_axi_control_araddr = address;
        rtl_->s_axi_control_arvalid = rtl_->s_axi_control_rready = 1;
        bool answered = false;
        uint32_t value = 0;
        unsigned response = 0;
        for (int n = 0; !answered; n++) {
            if (n == HANDSHAKE)
                throw Stuck("The control port does not answer a read");
            settle();
            const bool ar = rtl_->s_axi_control_arvalid && rtl_->s_axi_control_arready;
            answered = rtl_->s_axi_control_rvalid;
            value = rtl_->s_axi_control_rdata;
            response = rtl_->s_axi_control_rresp;
            edge();
            if (ar)
                rtl_->s_axi_control_arvalid = 0;
        }
        rtl_->s_axi_control_rready = 0;
        check(response, "read", address);
        return value;
    }

    // Clock until the interrupt line is high, for `budget` cycles at most; return whether it is.
    bool run(uint64_t budget) {
        for (uint64_t n = 0; n < budget; n++) {
            if (interrupt())
                return true;
            const uint64_t transfers = axi_.transfers();
            tick();
            if (axi_.transfers() != transfers)
                last_progress_ = cycles_;
            else if (cycles_ - last_progress_ >= patience_) {
                last_progress_ = cycles_;
                throw Stuck("The card made no transfer for " + std::to_string(patience_) +
                            " cycles");
            }
        }
        return interrupt();
    }

    // Clock for a number of cycles, whatever happens.
    void step(uint64_t cycles) {
        for (uint64_t n = 0; n < cycles; n++)
            tick();
        last_progress_ = cycles_;
    }

    // Give the watchdog a fresh start.
    void expect_progress() { last_progress_ = cycles_; }

  private:
    // Without worker threads, which the model does not need: a forked process has none, and would
    // wait for them for ever when it destroys its copy.
    static VerilatedContext *alone(VerilatedContext &context) {
        context.threads(1);
        return &context;
    }

    // Verilator renames ports that are words of C++ or of its libraries.
    bool interrupt() const { return rtl_->__SYM__interrupt; }

    static constexpr int HANDSHAKE = 10000; // cycles
    static constexpr uint64_t REST = 512;   // cycles; longer than any pause of work

    void settle() {
        rtl_->ap_clk = rtl_->image_clk = rtl_->text_clk = 0;
        rtl_->eval();
        axi_.before_edge(cycles_);
#if HEADRACE_WIRE
        frames_.before_edge();
#endif
    }

    // Idle lanes are not clocked: that is most of the work.
    void edge() {
        rtl_->image_clk = rtl_->image_wanted;
        rtl_->text_clk = rtl_->text_wanted;
        rtl_->ap_clk = 1;
        rtl_->eval();
        cycles_++;
        axi_.after_edge(cycles_);
#if HEADRACE_WIRE
        frames_.after_edge();
#endif
    }

    void tick() {
        settle();
        edge();
    }

    static void check(unsigned response, const char *what, uint32_t address) {
        if (response)
            throw std::out_of_range("Register " + std::string(what) + " must name a register, not " +
                                    std::to_string(address));
    }

    VerilatedContext context_;
    std::shared_ptr<Memory> memory_;
    std::unique_ptr<Vcard> rtl_;
    AxiMemory axi_;
#if HEADRACE_WIRE
    Frames frames_{*rtl_};
#endif
    uint64_t patience_;
    uint64_t cycles_ = 0;
    uint64_t last_progress_ = 0;
};

inline void register_card(pybind11::module_ &module) {
    namespace py = pybind11;
    using unlocked = py::call_guard<py::gil_scoped_release>;
    py::register_local_exception<Stuck>(module, "Stuck", PyExc_RuntimeError);
    py::class_<Card>(module, "Card", "One simulated card, for one thread at a time.",
                     py::module_local())
        .def(py::init<uint64_t, uint64_t>(), py::arg("memory_size"), py::arg("patience"))
        .def_property_readonly("memory", &Card::memory)
        .def_property_readonly("cycles", &Card::cycles, "Clock cycles since it was made.")
        .def_property_readonly("transfers", &Card::transfers,
                               "Transfers on all memory channels since it was made.")
        .def("take_fault", &Card::take_fault,
             "What the card did wrong at its memory port since the last call, or an empty string.")
        .def("configure", &Card::configure, py::arg("stalls"), py::arg("latency"), py::arg("seed"),
             "Set the stall probability of the channels AR, R, AW, W, B, and the memory's latency.")
        .def("reset", &Card::reset, unlocked())
        .def("write_register", &Card::write_register, py::arg("address"), py::arg("value"),
             unlocked())
        .def("read_register", &Card::read_register, py::arg("address"), unlocked())
        .def("expect_progress", &Card::expect_progress, "Restart the watchdog.")
        .def("run", &Card::run, py::arg("budget"), unlocked(),
             "Clock until the interrupt line is high, `budget` cycles at most; return its level.")
#if HEADRACE_WIRE
        .def("configure_network", &Card::configure_network, py::arg("rx"), py::arg("tx"),
             py::arg("seed"), "Set the stall probability of frames in and out.")
        .def("send", &Card::send, py::arg("frames"),
             "Frames without check sequence that the card is to get, when it is clocked.")
        .def("take_frames", &Card::take_frames, "Frames that left since the last call.")
        .def("work", &Card::work, py::arg("budget"), unlocked(),
             "Clock until nothing happens any more, `budget` cycles at most; whether it still does.")
#endif
        .def("step", &Card::step, py::arg("cycles"), unlocked(), "Clock for `cycles` cycles.");
}
