import pytest

from garmentcut.config import Config, OutputConfig, ReadConfig, known_keys, load_config, parse_override
from garmentcut.errors import ConfigError


def test_defaults():
    assert load_config() == Config()
    assert load_config().output.formats == ("png",)


def test_file_then_overrides(tmp_path):
    path = tmp_path / "studio.toml"
    path.write_text('[output]\nformats = ["png", "mask"]\ntrim = true\nmargin_px = 20\n[read]\nmax_megapixels = 50\n')
    assert load_config(path).output == OutputConfig(formats=("png", "mask"), trim=True, margin_px=20)
    assert load_config(path).read == ReadConfig(max_megapixels=50.0)
    config = load_config(path, {"output.margin_px": "40", "output.formats": '["webp"]', "folder.readers": 3})
    assert (config.output.margin_px, config.output.formats, config.folder.readers) == (40, ("webp",), 3)
    assert config.output.trim


def test_old_names_of_settings_are_taken_with_a_line_of_advice(tmp_path, caplog):
    path = tmp_path / "old.toml"
    path.write_text("[watch]\nsettle_s = 1.5\n")
    assert load_config(path).watch.debounce_s == 1.5
    assert load_config(path, {"watch.settle_s": "2"}).watch.debounce_s == 2
    path.write_text("[watch]\nsettle_s = 1.5\ndebounce_s = 0.5\n")
    assert load_config(path).watch.debounce_s == 0.5
    advice = "watch.settle_s is called watch.debounce_s now"
    assert caplog.messages == [f"{path}: {advice}", f"{path}: {advice}", advice, f"{path}: {advice}"]


def test_the_mark_of_windows_editors_is_no_error(tmp_path):
    path = tmp_path / "studio.toml"
    path.write_bytes(b"\xef\xbb\xbf[output]\r\ntrim = true\r\n")
    assert load_config(path).output.trim


def test_a_format_goes_by_its_suffixes_too():
    formats = ("JPG", ".tif", "PNG", "psd")
    assert load_config(overrides={"output.formats": formats}).output.formats == ("jpeg", "tiff", "png", "psd")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"output.trin": "true"}, "output.trin: unknown key; did you mean output.trim?"),
        ({"outputs.trim": "true"}, "outputs: unknown key; did you mean output?"),
        ({"output.zzzzzz": 1}, "output.zzzzzz: unknown key"),
        ({"cut.x": 1}, r"cut.x: unknown key; did you mean cut\.\w+\?$"),  # not the section in which it stands
        ({"trim": "true"}, "'trim' is not of the form section.key, for example read.max_mb"),
        ({"output.": "true"}, "'output.' is not of the form section.key"),
        ({"output.trim": "yes"}, "output.trim: .*boolean, not 'yes'"),
        ({"output.trim": 1}, "output.trim: .*boolean, not 1"),
        ({"folder.readers": "true"}, "folder.readers: .*integer, not True"),
        ({"runtime.streams": "true"}, "runtime.streams: .*integer, not True"),
        ({"watch.poll_s": "true"}, "watch.poll_s: .*number, not True"),
        ({"folder.readers": "2.5"}, "folder.readers: .*integer, not 2.5"),
        ({"runtime.streams": "true"}, "runtime.streams: .*integer, not True"),
        ({"watch.poll_s": "true"}, "watch.poll_s: .*number, not True"),
        ({"watch.debounce_s": "'3'"}, "watch.debounce_s: .*number, not '3'"),
        ({"output.background": "rgb(300, 0, 0)"}, "output.background: 'rgb\\(300, 0, 0\\)' is not a colour such as"),
        ({"folder.readers": "0"}, "folder.readers: .*greater than or equal to 1, not 0"),
        ({"read.max_megapixels": "nan"}, "read.max_megapixels: .*finite"),
        ({"read.max_megapixels": "-1"}, "read.max_megapixels: .*greater than 0, not -1"),
        ({"output.formats": "png"}, r"output.formats: should be a list such as \['png'\], not 'png'"),
        ({"output.formats": 5}, r"output.formats: should be a list such as \[5\], not 5"),
        ({"output.formats": []}, "output.formats: "),
        (
            {"output.formats": ["gif"]},
            "^output.formats: 'gif' is not a format; use one of png, mask, webp, tiff, psd, jpeg",
        ),
        ({"output.formats": ["png", "png"]}, "formats: name each format only once"),
        ({"output.margin_px": "5"}, "^output.margin_px needs a trimmed cutout: set output.trim too"),
        ({"output.background": "#ff"}, "'#ff' is not a colour such as '#ffffff'"),
        ({"output.background": "#ffffff\n"}, "is not a colour"),
        ({"output.background": "#ffffff", "output.hidden": "keep"}, "which output.hidden is to keep"),
        ({"runtime.backend": "cuda"}, "'auto', 'openvino' or 'onnxruntime', not 'cuda'"),
        ({"output.trin": 1, "read.max_mbb": 1}, "did you mean read.max_mb.*; .*did you mean output.trim"),
    ],
)
def test_errors_name_the_key_and_say_how_to_fix_it(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_config(overrides=overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[output\n", "studio.toml: "),
        ("trim = true\n", "trim: unknown key; did you mean output.trim"),
        ("output = 5\n", "output: "),
        ("[output]\nmargin = 5\ntrim = true\n", "did you mean output.margin_px"),
    ],
)
def test_errors_in_a_file(tmp_path, text, message):
    path = tmp_path / "studio.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"missing.toml: No such file or directory$"):
        load_config(tmp_path / "missing.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe6\xf8\xe5")
    with pytest.raises(ConfigError, match=r"latin.toml"):
        load_config(tmp_path / "latin.toml")
    (tmp_path / "flat.toml").write_text("output = 5\n")
    with pytest.raises(ConfigError, match="output is a value there, not a section"):
        load_config(tmp_path / "flat.toml", {"output.trim": True})


def test_text_that_is_no_toml_is_taken_as_it_stands():
    assert load_config(overrides={"output.background": "#c0ffee"}).output.background == "#c0ffee"
    assert load_config(overrides={"output.hidden": '"clear"'}).output.hidden == "clear"
    with pytest.raises(ConfigError, match="not 'true"):
        load_config(overrides={"output.trim": "true\nmargin_px = 3"})


def test_overrides_are_split_at_the_first_sign():
    assert parse_override("output.trim = true") == ("output.trim", "true")
    assert parse_override("a.b=c=d") == ("a.b", "c=d")
    with pytest.raises(ConfigError, match=r"'output.trim' is not of the form section.key=value"):
        parse_override("output.trim")


def test_sections_are_frozen_and_every_key_is_known():
    with pytest.raises(AttributeError):
        Config().output.trim = True
    keys = known_keys()
    assert keys[0] == "read.max_mb"
    assert "output.hidden" in keys
    assert len(keys) == len(set(keys)) <= 60


def test_colors_may_have_names():
    for name in ("white", "#FFF", "#ffffff", "rgb(255, 255, 255)"):
        assert load_config(overrides={"output.background": name}).output.background.lower() == "#ffffff"
    for name in ("grün", "#ffff", "#12345678", ""):
        with pytest.raises(ConfigError, match="is not a colour such as '#ffffff' or white"):
            load_config(overrides={"output.background": name})


def test_foreign_files_and_numbers_end_in_a_sentence(tmp_path):
    (tmp_path / "deep.toml").write_text("a = " + "[" * 100_000)
    with pytest.raises(ConfigError, match="nested too deeply"):
        load_config(tmp_path / "deep.toml")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(ConfigError, match=r"photo\.jpg: not a TOML file: it is not UTF-8 text; save it as UTF-8"):
        load_config(tmp_path / "photo.jpg")
    with pytest.raises(ConfigError, match=r"runtime\.threads"):
        load_config(overrides={"runtime.threads": 10**20})
    (tmp_path / "long.toml").write_text(f"[read]\nmax_mb = {'9' * 5000}\n")
    with pytest.raises(ConfigError, match=r"long\.toml: a number has more digits than any"):
        load_config(tmp_path / "long.toml")
    for value in ("9" * 5000, "[" * 100_000, f"[{'9' * 5000}]"):
        with pytest.raises(ConfigError, match=r"read\.max_mb") as refused:
            load_config(overrides={"read.max_mb": value})
        assert len(str(refused.value)) < 300


def test_settings_are_told_under_the_names_by_which_they_were_given(tmp_path):
    (tmp_path / "own.toml").write_text("[read]\nmax_mb = '{0}'\n")
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "own.toml", {"cut.choke_px": 99})
    assert caught.value.settings == {"cut.choke_px", "read.max_mb"}
    told, other = caught.value.named({"cut.choke_px": "--choke"}).split("; ")
    assert told == "--choke: Input should be less than or equal to 20, not 99"  # not of the file
    assert other.startswith(f"{tmp_path / 'own.toml'}: read.max_mb: ") and other.endswith("not '{0}'")
    assert str(caught.value).startswith("cut.choke_px: ")
