# SPDX-License-Identifier: Apache-2.0
"""What of an ECP5 is not plain logic: its PLL, and registers at both edges of a clock."""

import dataclasses

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


__all__ = ["PllSettings", "pll_settings", "Pll", "DdrInput", "DdrOutput"]


#: MHz that the oscillator of a PLL reaches, and the least that it compares (FPGA-DS-02012).
OSCILLATOR, COMPARED = range(400, 801), 3.125

#: Most that a divider divides by.
DIVIDERS = 128

#: Nanoseconds of a step of a pin's delay, and how many there are (FPGA-TN-02032).
DELAY_STEP, DELAY_STEPS = 0.025, 128


@dataclasses.dataclass(frozen=True)
class PllSettings:
    """Dividers of a PLL whose feedback is its first output.

    Parameters
    ----------
    reference : float
        MHz of its input.
    input, feedback, first, second : int
        What is divided by these: the reference, the first output on its way back, and for each
        output the oscillator.
    """

    reference: float
    input: int
    feedback: int
    first: int
    second: int

    @property
    def compared(self):
        """MHz that input and feedback are compared at."""
        return self.reference / self.input

    @property
    def oscillator(self):
        """MHz of the oscillator."""
        return self.reference * self.feedback * self.first / self.input

    @property
    def outputs(self):
        """MHz of the two outputs."""
        return self.oscillator / self.first, self.oscillator / self.second


def pll_settings(reference, first, second):
    """Dividers for a first output of just ``first`` MHz, and a second of ``second`` at most.

    The second comes as near as it can; of those the reference is divided least, and the oscillator
    is next to the middle of its range.

    Raises
    ------
    ValueError
        If there are none.
    """
    found = []
    for by in range(1, DIVIDERS + 1):
        back = first * by / reference
        if reference / by < COMPARED or back != int(back) or not 1 <= back <= DIVIDERS:
            continue
        for divider in range(1, DIVIDERS + 1):
            oscillator = first * divider
            other = max(1, int(-(-oscillator // second)))
            if OSCILLATOR[0] <= oscillator <= OSCILLATOR[-1] and other <= DIVIDERS:
                found.append(PllSettings(reference, by, int(back), divider, other))
    if not found:
        raise ValueError(f"PLL must make {first} and {second} MHz of {reference}, and cannot")
    return min(found, key=lambda settings: (
        second - settings.outputs[1], settings.input, abs(settings.oscillator - 600)))


class Pll(wiring.Component):
    """EHXPLLL with two outputs.

    Parameters
    ----------
    settings : PllSettings

    Members
    -------
    i : :py:`In(1)`
        The reference.
    first, second : :py:`Out(1)`
        Clocks, with no relation between their edges that one may rely on.
    locked : :py:`Out(1)`
        Asynchronous.
    """

    i: In(1)
    first: Out(1)
    second: Out(1)
    locked: Out(1)

    def __init__(self, settings):
        self.settings = settings
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        s = self.settings
        m.submodules.pll = Instance(
            "EHXPLLL",
            # What Lattice's tools write of the loop's filter.
            a_ICP_CURRENT="12", a_LPF_RESISTOR="8", a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            p_PLLRST_ENA="DISABLED", p_INTFB_WAKE="DISABLED", p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED", p_FEEDBK_PATH="CLKOP",
            p_OUTDIVIDER_MUXA="DIVA", p_OUTDIVIDER_MUXB="DIVB", p_OUTDIVIDER_MUXC="DIVC",
            p_OUTDIVIDER_MUXD="DIVD",
            p_CLKI_DIV=s.input, p_CLKFB_DIV=s.feedback,
            p_CLKOP_ENABLE="ENABLED", p_CLKOP_DIV=s.first, p_CLKOP_CPHASE=s.first - 1,
            p_CLKOP_FPHASE=0,
            p_CLKOS_ENABLE="ENABLED", p_CLKOS_DIV=s.second, p_CLKOS_CPHASE=s.second - 1,
            p_CLKOS_FPHASE=0,
            i_CLKI=self.i, i_CLKFB=self.first, i_RST=0, i_STDBY=0, i_PHASESEL0=0, i_PHASESEL1=0,
            i_PHASEDIR=0, i_PHASESTEP=0, i_PHASELOADREG=0, i_PLLWAKESYNC=0, i_ENCLKOP=0,
            i_ENCLKOS=0,
            o_CLKOP=self.first, o_CLKOS=self.second, o_LOCK=self.locked)
        return m


def steps(delay):
    """Steps of a delay in nanoseconds."""
    count = round(delay / DELAY_STEP)
    if not 0 <= count < DELAY_STEPS:
        raise ValueError(f"Delay must be within 0 and {(DELAY_STEPS - 1) * DELAY_STEP:.3f} ns, "
                         f"not {delay!r}")
    return count


class DdrInput(wiring.Component):
    """Pins that are read at both edges of the clock.

    Parameters
    ----------
    width : int
    delay : float
        Nanoseconds between the pins and the registers.

    Members
    -------
    i : :py:`In(width)`
        The pins.
    first, second : :py:`Out(width)`
        At the rising edge, and at the falling one behind it.
    """

    def __init__(self, width, delay=0.0):
        self.width, self.steps = width, steps(delay)
        super().__init__({"i": In(width), "first": Out(width), "second": Out(width)})

    def elaborate(self, platform):
        m = Module()
        delayed = Signal(self.width)
        for n in range(self.width):
            m.submodules[f"delay_{n}"] = Instance(
                "DELAYG", p_DEL_MODE="USER_DEFINED", p_DEL_VALUE=self.steps,
                i_A=self.i[n], o_Z=delayed[n])
            m.submodules[f"register_{n}"] = Instance(
                "IDDRX1F", i_SCLK=ClockSignal(), i_RST=Const(0), i_D=delayed[n],
                o_Q0=self.first[n], o_Q1=self.second[n])
        return m


class DdrOutput(wiring.Component):
    """Pins that change at both edges of the clock.

    Parameters
    ----------
    width : int
    delay : float
        Nanoseconds between the registers and the pins.

    Members
    -------
    first, second : :py:`In(width)`
        From a rising edge on, and from the falling one behind it.
    o : :py:`Out(width)`
        The pins.
    """

    def __init__(self, width, delay=0.0):
        self.width, self.steps = width, steps(delay)
        super().__init__({"first": In(width), "second": In(width), "o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        straight = Signal(self.width)
        for n in range(self.width):
            m.submodules[f"register_{n}"] = Instance(
                "ODDRX1F", i_SCLK=ClockSignal(), i_RST=Const(0), i_D0=self.first[n],
                i_D1=self.second[n], o_Q=straight[n])
            m.submodules[f"delay_{n}"] = Instance(
                "DELAYG", p_DEL_MODE="USER_DEFINED", p_DEL_VALUE=self.steps,
                i_A=straight[n], o_Z=self.o[n])
        return m
