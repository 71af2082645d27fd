// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>

// The card's own memory. It is not the host's: a buffer must be copied in before the card sees it.
// Pages come into being when they are first touched.
class Memory {
  public:
    explicit Memory(uint64_t size) : size_(size) {
        void *mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mapped == MAP_FAILED)
            throw std::runtime_error("Card memory must be mappable, not " + std::to_string(size) +
                                     " bytes");
        bytes_ = static_cast<uint8_t *>(mapped);
    }
    ~Memory() { munmap(bytes_, size_); }
    Memory(const Memory &) = delete;
    Memory &operator=(const Memory &) = delete;

    uint64_t size() const { return size_; }

    bool holds(uint64_t address, uint64_t length) const {
        return length <= size_ && address <= size_ - length;
    }

    // Only valid for an address range that the memory holds.
    uint8_t *at(uint64_t address) { return bytes_ + address; }

    void write(uint64_t address, const pybind11::buffer &source) {
        pybind11::buffer_info info = source.request();
        const uint64_t length = contiguous(info);
        check(address, length);
        pybind11::gil_scoped_release unlocked;
        std::memcpy(at(address), info.ptr, length);
    }

    void read_into(uint64_t address, const pybind11::buffer &target) {
        pybind11::buffer_info info = target.request(true);
        const uint64_t length = contiguous(info);
        check(address, length);
        pybind11::gil_scoped_release unlocked;
        std::memcpy(info.ptr, at(address), length);
    }

  private:
    static uint64_t contiguous(const pybind11::buffer_info &info) {
        pybind11::ssize_t stride = info.itemsize;
        for (pybind11::ssize_t axis = info.ndim; axis-- > 0;) {
            if (info.shape[axis] > 1 && info.strides[axis] != stride)
                throw pybind11::value_error("Buffer must be C-contiguous");
            stride *= info.shape[axis];
        }
        return static_cast<uint64_t>(info.size * info.itemsize);
    }

    void check(uint64_t address, uint64_t length) const {
        if (!holds(address, length))
            throw pybind11::index_error("Address range must lie within the card's " +
                                        std::to_string(size_) + " bytes, not " +
                                        std::to_string(address) + " + " + std::to_string(length));
    }

    uint64_t size_;
    uint8_t *bytes_;
};

inline void register_memory(pybind11::module_ &module) {
    namespace py = pybind11;
    py::class_<Memory, std::shared_ptr<Memory>>(module, "Memory",
                                                "The card's memory, separate from the host's.",
                                                py::module_local())
        .def_property_readonly("size", &Memory::size, "Bytes.")
        .def("write", &Memory::write, py::arg("address"), py::arg("source"),
             "Copy a C-contiguous buffer into the card's memory.")
        .def("read_into", &Memory::read_into, py::arg("address"), py::arg("target"),
             "Copy from the card's memory into a writable C-contiguous buffer.");
}
