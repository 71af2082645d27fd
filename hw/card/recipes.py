# SPDX-License-Identifier: Apache-2.0
"""What the lanes do with payloads: recipes and tables, and how they are loaded."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..image.layout import Recipe
from ..tensor.layout import Elements, TableWrite
from .config import BUS
from .jobs import RECIPE, TABLE_RECORD, TABLE_RECORD_BYTES, TEXT_RECIPE, Kernel, Kind
from .read_dma import ReadBeat


__all__ = ["TextRecipe", "TextTableWrite", "Recipes"]


#: What becomes of a text: the fields of :data:`.jobs.TEXT_RECIPE`.
TextRecipe = data.StructLayout(
    {name: 8 * size for name, (_, size) in TEXT_RECIPE.fields.items()})

#: A record of :data:`.jobs.TABLE_RECORD`.
TextTableWrite = data.StructLayout(
    {name: 8 * size for name, (_, size) in TABLE_RECORD.fields.items()})


class Recipes(wiring.Component):
    """Holds recipes, and loads them and the tables of the lanes, one load at a time.

    Loading a recipe takes a cycle an element of its tables and 2 cycles a beat, loading tables a
    cycle a record and 2 cycles a beat.

    Parameters
    ----------
    count : int
        Recipes of each family.
    width : int
        Bits of a beat: a record of tables, or more.

    Members
    -------
    number : :py:`In(range(count))`
        Selects ``image``, ``elements`` and ``text``, and the recipe that a load replaces. Held
        during a load.
    image, elements, image_known : the image recipe
    text, text_known : the text recipe
        Combinational. Not ``known``: none was loaded, or one for a kernel that is not there.
    begin, kind, length : :py:`In(...)`
        Strobe: a load of that kind begins, of ``length`` bytes, which are what the kind asks for.
    i : :py:`In(stream.Signature(ReadBeat(width)))`
        Its payload.
    done, error : :py:`Out(1)`
        Strobe: the load is over; the memory did not answer for all of it, so a recipe is not known
        any more, and tables are undefined.
    write, write_valid : :py:`Out(TableWrite(count))`
        To :class:`..tensor.tables.Tables`.
    text_write, text_write_valid : :py:`Out(TextTableWrite)`
        To the text lanes.
    """

    def __init__(self, count, width=8 * BUS):
        self.count, self.width = count, width
        super().__init__({
            "number": In(range(count)),
            "image": Out(Recipe), "elements": Out(Elements(count)), "image_known": Out(1),
            "text": Out(TextRecipe), "text_known": Out(1),
            "begin": In(1), "kind": In(8), "length": In(32),
            "i": In(stream.Signature(ReadBeat(width))), "done": Out(1), "error": Out(1),
            "write": Out(TableWrite(count)), "write_valid": Out(1),
            "text_write": Out(TextTableWrite), "text_write_valid": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        images = Array(Signal(Recipe, name=f"image_{k}") for k in range(self.count))
        elements = Array(Signal(Elements(self.count), name=f"elements_{k}")
                         for k in range(self.count))
        texts = Array(Signal(TextRecipe, name=f"text_{k}") for k in range(self.count))
        image_known, text_known = Signal(self.count), Signal(self.count)
        m.d.comb += [
            self.image.eq(images[self.number]), self.elements.eq(elements[self.number]),
            self.text.eq(texts[self.number]),
            self.image_known.eq(image_known.bit_select(self.number, 1)),
            self.text_known.eq(text_known.bit_select(self.number, 1)),
        ]

        beat, left = self.i.p.data, Signal(32)     # records or elements
        element = Signal(range(3 * 256 + 1))
        table = Signal(self.width)
        # Beats of a recipe, records and elements in one.
        beats, records, per_beat = (8 * BUS // self.width, self.width // (8 * TABLE_RECORD_BYTES),
                                    self.width // 32)
        index = Signal(range(beats))
        m.d.comb += [
            self.write.recipe.eq(self.number), self.write.channel.eq(element[8:]),
            self.write.value.eq(element[:8]), self.write.element.eq(table[:32]),
            *(self.text_write[name].eq(field) for name, field in TABLE_RECORD.view(table).items()),
        ]
        with m.If(self.i.valid & self.i.ready & self.i.p.error):
            m.d.sync += self.error.eq(1)

        with m.FSM():
            with m.State("Idle"):
                m.d.sync += [element.eq(0), index.eq(0)]
                with m.If(self.begin):
                    m.d.sync += [self.error.eq(0), left.eq(self.length // TABLE_RECORD_BYTES)]
                    with m.Switch(self.kind):
                        with m.Case(Kind.LOAD):
                            m.next = "Image recipe"
                        with m.Case(Kind.LOAD_TEXT):
                            m.next = "Text recipe"
                        with m.Default():
                            m.next = "Records"
            with m.State("Image recipe"):
                m.d.comb += self.i.ready.eq(1)
                # All of it is in its first beat.
                field = RECIPE.view(beat)
                with m.If(self.i.valid):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == beats - 1):
                        m.next = "Elements"
                with m.If(self.i.valid & (index == 0)):
                    m.d.sync += [
                        *(images[self.number][name].eq(field[name]) for name in (
                            "filter", "rule", "height", "width", "crop_height", "crop_width")),
                        images[self.number].planar.eq(field["interleaved"] == 0),
                        elements[self.number].recipe.eq(self.number),
                        elements[self.number].element.eq(field["element"]),
                        elements[self.number].interleaved.eq(field["interleaved"] != 0),
                        elements[self.number].raw.eq(field["raw"] != 0),
                    ]
            with m.State("Elements"):
                m.d.sync += table.eq(beat)
                with m.If(element == 3 * 256):
                    m.d.sync += image_known.bit_select(self.number, 1).eq(~self.error)
                    m.next = "Done"
                with m.Else():
                    m.d.comb += self.i.ready.eq(1)
                    with m.If(self.i.valid):
                        m.next = "Element"
            with m.State("Element"):
                m.d.comb += self.write_valid.eq(1)
                m.d.sync += [table.eq(table >> 32), element.eq(element + 1)]
                with m.If(element % per_beat == per_beat - 1):
                    m.next = "Elements"
            with m.State("Text recipe"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += index.eq(index + 1)
                    for number in range(beats):
                        with m.If(index == number):
                            m.d.sync += [texts[self.number][name].eq(field) for name, field
                                         in TEXT_RECIPE.view(beat, number).items()]
                    with m.If(index == beats - 1):
                        m.next = "Kernel"
            with m.State("Kernel"):
                m.d.sync += text_known.bit_select(self.number, 1).eq(
                    ~self.error & (self.text.kernel < len(Kernel)))
                m.next = "Done"
            with m.State("Records"):
                m.d.sync += table.eq(beat)
                with m.If(left == 0):
                    m.next = "Done"
                with m.Else():
                    m.d.comb += self.i.ready.eq(1)
                    with m.If(self.i.valid):
                        m.next = "Record"
            with m.State("Record"):
                m.d.comb += self.text_write_valid.eq(left != 0)
                m.d.sync += [table.eq(table >> (8 * TABLE_RECORD_BYTES)),
                             element.eq(element + 1)]
                with m.If(left != 0):
                    m.d.sync += left.eq(left - 1)
                with m.If(element % records == records - 1):
                    m.next = "Records"
            with m.State("Done"):
                m.d.comb += self.done.eq(1)
                m.next = "Idle"
        return m
