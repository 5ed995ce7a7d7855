"""The demo as a page in the browser, by Gradio. Needs the `demo` extra."""

from __future__ import annotations

import atexit
import html
import importlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from gancompress.apps.demo import Answer, Demo
from gancompress.apps.demouploads import MOST_BYTES, check_upload, read_upload
from gancompress.data.images import Reading, over
from gancompress.errors import ExportError, GanCompressError
from gancompress.export.inputchannels import Pixels
from gancompress.export.markdown import words
from gancompress.fields.types import COLOURS

Say = Callable[[str], None]

UPLOADS = "GRADIO_TEMP_DIR"  # the environment variable that names the folder of what is uploaded
KEPT_SECONDS = 3600  # an upload, at most, and at most until the end
SHOWN = 320  # pixels; smaller pictures are enlarged to at least this
_FONTS = ("system-ui", "sans-serif")  # Gradio's own are fetched from elsewhere


def gradio() -> Any:
    """Gradio, told to report nothing. Raises: ExportError if it is not installed."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        return importlib.import_module("gradio")
    except ModuleNotFoundError as error:
        raise ExportError(
            "demo: needs gradio; install with: pip install 'gancompress[demo]'"
        ) from error


def serve(
    demo: Demo, host: str, port: int | None, say: Say = print, *, is_blocking: bool = True
) -> Any:
    """Serves the page until Ctrl-C, or returns it running where `is_blocking` is False.

    port: None for the first free one from 7860 on. What users upload is bounded, and deleted at
    the end. Raises: ExportError if the place is taken.
    """
    gr = gradio()
    before = os.environ.get(UPLOADS)
    uploads = TemporaryDirectory(prefix="gancompress-demo-", dir=before)
    os.environ[UPLOADS] = uploads.name
    atexit.register(uploads.cleanup)  # for a page that is returned running
    built = page(demo)
    try:
        _, url, _ = built.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            ssr_mode=False,  # a second server, in Node
            show_error=True,
            prevent_thread_lock=True,
            footer_links=[],
            max_file_size=MOST_BYTES,
            theme=gr.themes.Default(font=_FONTS, font_mono=("monospace",)),
        )
    except OSError as error:
        uploads.cleanup()
        os.environ.pop(UPLOADS)
        if before is not None:
            os.environ[UPLOADS] = before
        place = f"{host}:{port}" if port else host
        raise ExportError(
            f"demo: {place} cannot be served ({_line(error)}); give another --port or --host"
        ) from error
    say(f"open {url} in a browser; Ctrl-C ends it")
    if is_blocking:
        try:
            with suppress(KeyboardInterrupt):  # It is meant to end so.
                built.block_thread()
        finally:
            uploads.cleanup()
    return built


def page(demo: Demo) -> Any:
    """The page as Gradio's blocks, not launched. Raises: ExportError as `gradio`."""
    gr, channels = gradio(), demo.channels
    with gr.Blocks(
        analytics_enabled=False,
        title=f"gancompress: {demo.name}",
        delete_cache=(KEPT_SECONDS // 6, KEPT_SECONDS),
    ) as built:
        gr.Markdown(_heading(demo))
        with gr.Row():
            with gr.Column():
                editor = _editor(gr, demo)
                _offer_deep_files(gr, demo, editor)
                if channels.classes:
                    gr.HTML(legend(demo))
                domains = _domains(gr, demo)
                seed = gr.Number(
                    0, label="Style (seed)", precision=0, minimum=0, visible=channels.style > 0
                )
                names = list(demo.files)
                file = gr.Radio(names, value=names[0], label="Compressed file")
                button = gr.Button("Run", variant="primary")
            with gr.Column():
                with gr.Row():
                    outputs = [_picture(gr) for _ in range(2 if demo.teacher else 1)]
                text = gr.Markdown(elem_id="figures")
        _offer_examples(gr, demo, editor)

        def answer(drawn: Any, asked: Any, number: Any, name: str) -> list[Any]:
            asked = [asked] if isinstance(asked, str) else asked or []
            try:
                _, answers = demo.answers(flattened(drawn, demo), asked, int(number or 0), name)
            except GanCompressError as error:
                raise gr.Error(str(error)) from None
            shown = [gr.Image(enlarged(one.picture), label=one.title) for one in answers]
            return [figures(answers), *shown]

        given = [editor, domains, seed, file]
        button.click(answer, given, [text, *outputs], api_name="answer")
        gr.on(
            # Of an editor, strokes are `input`, what an example puts there is `change`.
            [built.load, editor.input, *(part.change for part in given)],
            answer,
            given,
            [text, *outputs],
            show_progress="hidden",
            trigger_mode="always_last",
            api_name=False,
        )
    return built


def _heading(demo: Demo) -> str:
    height, width = demo.card.size
    also = "" if demo.card.is_static else "; others are taken too"
    return f"# {words(demo.name)}\nTrained at {width} × {height} pixels{also}."


def _picture(gr: Any) -> Any:
    return gr.Image(interactive=False, format="png", buttons=["download", "fullscreen"])


def _editor(gr: Any, demo: Demo) -> Any:
    """What is drawn on: the first example, or an empty page."""
    channels, (height, width) = demo.channels, demo.card.size
    hexes = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in channels.colours]
    start = demo.examples[0] if demo.examples else None
    if start is None:
        colour = channels.colours[0] if channels.classes else np.full(3, 255, np.uint8)
        start = np.broadcast_to(colour, (height, width, 3)).copy()
    brush = gr.Brush(
        default_size=max(2, width // 16),
        colors=hexes or None,
        default_color=hexes[min(1, len(hexes) - 1)] if hexes else None,  # not the ground's
        color_mode="fixed" if hexes else "defaults",
    )
    editor = gr.ImageEditor(
        start,
        label="Input: draw, or upload a picture",
        type="numpy",
        format="png",  # the default loses colours
        sources=("upload", "clipboard"),
        brush=brush,
        layers=False,
        canvas_size=(width, height),
    )
    # Set from outside, as Gradio writes a .pyi file beside a module that has a class of its own.
    convert, reading = editor.convert_and_format_image, demo.card.facts.reading
    editor.convert_and_format_image = _bounded(gr, convert, reading)
    return editor


def _bounded(gr: Any, convert: Callable[..., Any], reading: Reading) -> Callable[..., Any]:
    """How an editor decodes what it is given, which is looked at before."""

    def bounded(file: Any, *rest: Any, **more: Any) -> Any:
        if file is None:
            return None
        try:
            given = Path(file.path) if hasattr(file, "path") else bytes(file)
            if check_upload(given) and isinstance(given, Path):
                return read_upload(given, reading)
        except GanCompressError as error:
            raise gr.Error(str(error)) from None
        return convert(file, *rest, **more)

    return bounded


def _offer_deep_files(gr: Any, demo: Demo, editor: Any) -> None:
    """Where the data has more than 8 bits: files of such, of which browsers keep 8 otherwise."""
    reading = demo.card.facts.reading
    if reading.max_value is None:
        return
    label = f"A file of more than 8 bits; {reading.max_value:g} is white, as in the data"
    file = gr.File(label=label, type="filepath", height=100)

    def read(path: str) -> Pixels:
        try:
            return read_upload(Path(path), reading)
        except GanCompressError as error:
            raise gr.Error(str(error).replace(path, Path(path).name)) from None

    file.upload(read, file, editor, api_name="deep")


def _domains(gr: Any, demo: Demo) -> Any:
    channels = demo.channels
    names, is_shown = list(channels.domains), bool(channels.domains)
    first = names[0] if names else None
    if channels.is_exclusive:
        return gr.Radio(names, value=first, label="Make it", visible=is_shown)
    value = [first] if first else []
    return gr.CheckboxGroup(names, value=value, label="Make it", visible=is_shown)


def _offer_examples(gr: Any, demo: Demo, editor: Any) -> None:
    if not demo.examples:
        return
    gallery = gr.Gallery(
        [enlarged(picture) for picture in demo.examples],
        label="Inputs of the test split: choose one",
        columns=len(demo.examples),
        height=250,
        allow_preview=False,
        format="png",
        buttons=[],
    )

    def choose(event: Any) -> Pixels:
        return demo.examples[event.index]

    choose.__annotations__["event"] = gr.SelectData  # Gradio looks at it to know what to pass
    gallery.select(choose, None, editor, api_name=False)


def flattened(drawn: Any, demo: Demo) -> Pixels:
    """(H, W, 3): what the editor holds, on the data's background or white; of label maps on the
    first class's colour."""
    whole = None if drawn is None else drawn["composite"]
    if whole is None:
        raise ExportError("the picture: nothing is drawn; draw, upload or choose an example")
    channels = demo.channels
    background = demo.card.facts.reading.background or COLOURS["white"]
    ground = channels.colours[0] if channels.classes else background
    if whole.ndim == 2:
        whole = np.repeat(whole[..., None], 3, axis=2)
    if whole.shape[2] == 3:
        return np.ascontiguousarray(whole)
    return over(ground, whole)


def enlarged(picture: Pixels) -> Pixels:
    """A small picture (H, W, 3) with every pixel as a square, its longest side at least `SHOWN`."""
    factor = max(1, -(-SHOWN // max(picture.shape[:2])))
    return np.kron(picture, np.ones((factor, factor, 1), np.uint8))


def figures(answers: list[Answer]) -> str:
    """A Markdown table of times and costs; the last answer's gains over the first below it."""
    first, last = answers[0], answers[-1]
    if first.cost is None or last.cost is None:
        return "\n".join(f"{one.title}: {one.ms:.1f} ms (median)" for one in answers)
    lines = ["| | ms (median) | MACs | parameters |", "|---|---|---|---|"]
    for one in answers:
        assert one.cost is not None, "costs are known of all or of none"
        macs, params = one.cost.macs_true / 1e6, one.cost.params / 1e3
        lines.append(f"| {one.title} | {one.ms:.1f} | {macs:,.1f} M | {params:,.0f} k |")
    if first is not last:
        fewer = first.cost.macs_true / last.cost.macs_true
        lines += ["", f"{fewer:.1f}× fewer MACs, {first.ms / last.ms:.1f}× the speed."]
    return "\n".join(lines)


def legend(demo: Demo) -> str:
    """The classes with their colours, as HTML."""
    channels = demo.channels
    swatch = (
        '<span style="display:inline-block;width:1em;height:1em;margin:0 .3em -.1em 0;'
        'background:rgb({},{},{})"></span>{}'
    )
    return " &emsp; ".join(
        swatch.format(*colour, html.escape(name))
        for name, colour in zip(channels.classes, channels.colours, strict=True)
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
