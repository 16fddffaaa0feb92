"""The arithmetic of painting, run in the browser it is for, against values worked out by hand."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

import garmentcut.review

STATIC = next(iter(garmentcut.review.__path__)) + "/static"
TYPES = {"js": "text/javascript", "html": "text/html"}


@pytest.fixture(scope="module")
def page(browser):
    """A page that can import the modules; no server."""

    def answer(route):
        path = route.request.url.removeprefix("http://garmentcut.test")
        if path == "/":
            return route.fulfill(body="<!doctype html><title>t</title>", content_type="text/html")
        return route.fulfill(path=STATIC + path, content_type=TYPES[path.rsplit(".")[-1]])

    tab = browser.new_page()
    tab.route("**/*", answer)
    tab.goto("http://garmentcut.test/")
    yield tab
    tab.close()


@pytest.fixture
def run(page):
    """run(module, code, **values): what a function body returns, the module's exports in `m`."""

    def evaluate(module, code, **values):
        script = f"""async (v) => {{ const m = await import('/painting/{module}.js');
            const plane = (rows) => (
                {{ width: rows[0].length, height: rows.length, data: Uint8Array.from(rows.flat()) }});
            const rows = (p) => Array.from({{ length: p.height }},
                (_, y) => [...p.data.slice(y * p.width, (y + 1) * p.width)]);
            {code} }}"""
        return page.evaluate(script, values)

    return evaluate


def edge(width=20, height=9, at=10):
    """Garment left of a column, whose own alpha is 128."""
    return [[255] * at + [128] + [0] * (width - at - 1) for _ in range(height)]


def test_falloff_is_half_at_the_radius_of_a_hard_brush(run):
    code = "return [[9, 10, 11], [0, 5.5, 10.6]].map((d, k) => d.map((x) => m.falloff(x, 10, 1 - k)))"
    hard, soft = run("stroke", code)
    assert hard == [1, 0.5, 0]
    assert soft[0] == 1 and soft[1] == pytest.approx(0.5) and soft[2] == 0


def test_a_stroke_builds_nothing_up_where_it_crosses_itself(run):
    code = """const blank = () => ({ width: 40, height: 40, data: new Uint8Array(1600) });
        const painted = (times) => { const c = blank(), a = blank();
            const s = new m.Stroke(c, { hardness: 0, strength: 0.5, erase: false });
            for (let k = 0; k < times; k++) for (const x of [10, 30]) {
                const box = s.extend({ x, y: 20, radius: 6 }); if (box) s.blend(blank(), a, box); }
            s.finish(); return [rows(a), Math.max(...c.data)]; };
        return [painted(1), painted(5)];"""
    once, often = run("stroke", code)
    assert once == often
    assert once[1] == 0
    assert max(map(max, once[0])) == 128  # half strength
    assert once[0][20][20] == 128 and once[0][20][2] == 0


def test_a_long_stroke_covers_what_its_dabs_cover(run):
    code = """const c = { width: 60, height: 30, data: new Uint8Array(1800) };
        m.coverSegment(c, { x: 10, y: 15, radius: 4 }, { x: 50, y: 15, radius: 8 }, 1); return rows(c);"""
    covered = np.array(run("stroke", code))
    y, x = np.mgrid[:30, :60] + 0.5
    oracle = np.zeros((30, 60))
    for share in np.linspace(0, 1, 2001):
        distance = np.hypot(x - (10 + 40 * share), y - 15)
        oracle = np.maximum(oracle, np.clip(4 + 4 * share + 0.5 - distance, 0, 1))
    # The nearest point of the path stands for the best one: where a pen's size changes by a tenth of the way, an edge
    # pixel may differ by a few levels.
    assert np.abs(covered - np.rint(255 * oracle)).max() <= 12


@pytest.mark.parametrize("distance", [0.25, 0.5, 1, 2.5, -0.5, -1.75])
def test_choke_moves_a_straight_edge_by_what_is_asked(run, distance):
    before = edge()
    moved = np.array(run("edits", "return rows(m.choke(plane(v.rows), v.distance))", rows=before, distance=distance))
    covered = (np.array(before, float) - moved)[4].sum() / 255
    assert covered == pytest.approx(distance, abs=0.02)
    assert (np.diff(moved[4].astype(int)) <= 0).all()  # still one edge


def test_choke_by_nothing_changes_nothing(run):
    assert run("edits", "return rows(m.choke(plane(v.rows), 0))", rows=edge()) == edge()


def test_smooth_takes_steps_out_and_keeps_straight_edges_and_sheer_cloth(run):
    smooth = "return rows(m.smooth(plane(v.rows)))"
    straight = np.array(run("edits", smooth, rows=edge()))
    assert np.abs(straight[4].sum() - np.array(edge())[4].sum()) <= 8
    sheer = [[90 + 40 * ((x + y) % 2) for x in range(12)] for y in range(12)]
    assert run("edits", smooth, rows=sheer) == sheer
    jagged = [[255] * (10 + 2 * (y % 2)) + [0] * (10 - 2 * (y % 2)) for y in range(12)]
    sums = np.array(run("edits", smooth, rows=jagged)).sum(axis=1)[3:-3] / 255
    assert np.ptp(sums) < 0.5 < np.ptp(np.array(jagged).sum(axis=1)[3:-3] / 255)


def test_fill_hole_takes_the_soft_edge_along(run):
    rows = [[255] * 11 for _ in range(11)]
    for y in range(3, 8):
        for x in range(3, 8):
            rows[y][x] = 140 if x in (3, 7) or y in (3, 7) else 0
    code = "const r = m.fillHole(plane(v.rows), v.x, v.y); return typeof r === 'string' ? r : rows(r)"
    assert run("edits", code, rows=rows, x=5, y=5) == [[255] * 11 for _ in range(11)]
    assert run("edits", code, rows=rows, x=0, y=0).startswith("There is no hole here")
    rows[5][:5] = [0] * 5
    assert run("edits", code, rows=rows, x=5, y=5).startswith("This is not a hole: it is open")


def test_fill_hole_takes_its_soft_ends_along_and_no_sheer_cloth(run):
    rows = [[255] * 60 for _ in range(21)]
    for y in range(8, 13):
        rows[y][8:13] = [0] * 5
    rows[10][13:25] = [100, 140, 180, 200, 190, 170, 200, 220, 230, 240, 244, 248]  # a slit that only dims the cloth
    for y in range(3, 18):
        rows[y][40:55] = [180] * 15  # sheer
    filled = run("edits", "return rows(m.fillHole(plane(v.rows), 10, 10))", rows=rows)
    assert all(set(row[:40]) == {255} for row in filled)
    assert [row[40:] for row in filled] == [row[40:] for row in rows]


def test_keep_part_gives_each_part_its_own_edge(run):
    row = [0, 60, 255, 60, 30, 255, 255, 40, 0, 0, 20, 0]
    code = "const p = m.keepComponent(plane(v.rows), v.x, 1); return typeof p === 'string' ? p : rows(p)[1]"
    rows = [row] * 3
    assert run("edits", code, rows=rows, x=2) == [0, 60, 255, 60, 0, 0, 0, 0, 0, 0, 0, 0]
    assert run("edits", code, rows=rows, x=5) == [0, 0, 0, 0, 30, 255, 255, 40, 0, 0, 0, 0]
    assert run("edits", code, rows=rows, x=0) == "There is no garment here. Click on the part to keep."


def test_a_lasso_has_an_antialiased_edge(run):
    code = """const settled = plane(v.rows), alpha = plane(v.rows);
        const points = [[2.5, 2], [7.25, 2], [7.25, 8], [2.5, 8]].map(([x, y]) => ({ x, y }));
        m.fillArea(settled, alpha, points, v.subtract); return rows(alpha);"""
    added = np.array(run("stroke", code, rows=[[0] * 10] * 10, subtract=False))
    assert added[5].tolist()[3:7] == [255] * 4
    assert abs(added[5][2] - 128) <= 2 and abs(added[5][7] - 64) <= 4 and added[1].sum() == 0
    taken = np.array(run("stroke", code, rows=[[255] * 10] * 10, subtract=True))
    assert np.abs(added + taken - 255).max() <= 1


def test_packing_is_lossless_and_small(run):
    code = """const random = new Uint8Array(4096).map(() => Math.random() * 256);
        const edge = new Uint8Array(4096).map((_, i) => Math.max(0, Math.min(255, (32 - i % 64) * 100)));
        const others = [new Uint8Array(4096).fill(255), new Uint8Array(5), Uint8Array.from([1, 1, 2, 2, 2, 3])];
        return [random, edge, ...others].map((b) => {
            const p = m.pack(b); return [m.unpack(p, b.length).every((x, i) => x === b[i]), p.length]; });"""
    kept = run("history", code)
    assert all(is_same for is_same, _ in kept)
    random, line, plain, *_ = (size for _, size in kept)
    assert random <= 4096 + 64 and line < 600 and plain <= 64


def test_history_goes_back_and_forth_to_the_very_bytes(run):
    code = """const plane_ = { width: 150, height: 100, data: new Uint8Array(15000).map((_, i) => i % 251) };
        const history = new m.History(plane_); const states = [plane_.data.slice()];
        let seed = 1; const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
        for (let k = 0; k < 40; k++) {
            const x0 = random(140), y0 = random(90), box = { x0, y0, x1: x0 + 1 + random(10), y1: y0 + 1 + random(10) };
            for (let y = box.y0; y < box.y1; y++) plane_.data.fill(random(256), y * 150 + box.x0, y * 150 + box.x1);
            if (history.commit(`step ${k}`, box)) states.push(plane_.data.slice()); }
        const same = (k) => plane_.data.every((value, i) => value === states[k][i]);
        let good = true;
        for (let k = states.length - 2; k >= 0; k--) good = history.undo() !== null && same(k) && good;
        const end = history.undo();
        for (let k = 1; k < states.length; k++) good = history.redo() !== null && same(k) && good;
        const nothing = history.commit('nothing', { x0: 0, y0: 0, x1: 150, y1: 100 });
        return [states.length > 30, good, end, history.redo(), nothing];"""
    assert run("history", code) == [True, True, None, None, None]


def test_ten_thousand_strokes_stay_small(run):
    code = """const p = { width: 1152, height: 1728, data: new Uint8Array(1152 * 1728) };
        const history = new m.History(p);
        for (let k = 0; k < 10000; k++) {
            const x = (k * 37) % 1100, y = (k * 53) % 1680, value = k % 2 ? 255 : (k % 200) + 20;
            for (let i = y * 1152 + x; i < (y + 24) * 1152; i += 1152) p.data.fill(value, i, i + 24);
            history.commit('Brush', { x0: x, y0: y, x1: x + 24, y1: y + 24 }); }
        const sizes = history.done.flatMap((step) => step.tiles).map((tile) => tile.packed.length);
        return [history.done.length, sizes.reduce((sum, size) => sum + size, 0)];"""
    steps, held = run("history", code)
    assert steps > 9_990
    assert held < 60_000_000


def test_the_png_is_gray_and_exact(run):
    rows = [[(7 * x + 13 * y) % 256 for x in range(31)] for y in range(17)]
    code = """const blob = await m.encodeGray(plane(v.rows)); const back = await m.decodeGray(blob);
        const bytes = new Uint8Array(await blob.arrayBuffer());
        return [btoa(String.fromCharCode(...bytes)), rows(back)];"""
    encoded, back = run("plane", code, rows=rows)
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        assert (image.mode, image.format) == ("L", "PNG")
        assert np.array(image).tolist() == rows
    assert back == rows


def test_seconds_stop_while_nobody_works(page):
    counted = page.evaluate(
        """async () => { const { Clock } = await import('/editor/desk.js');
        let now = 0; const clock = new Clock(() => now * 1000); const read = [];
        const at = (time, what) => { now = time; what && clock[what](); read.push(clock.seconds); };
        at(4, 'tick'); at(10); at(100, 'tick'); at(103, 'hide'); at(500); at(600, 'show'); at(602);
        clock.start(7); at(603); return read; }"""
    )
    assert counted == [4, 10, 19, 22, 22, 22, 24, 8]


def test_the_view_fits_zooms_at_the_pointer_and_keeps_whole_pixels(page):
    found = page.evaluate(
        """async () => { const { Viewport } = await import('/editor/stage.js');
        const v = new Viewport(); v.photo = { width: 1152, height: 1728 }; v.resize({ width: 1000, height: 800 });
        v.fit('photo'); const fitted = v.scale;
        const point = { x: 700, y: 300 }, before = v.toPhoto(point); v.zoomTo(3, point); const after = v.toPhoto(point);
        const moved = Math.max(Math.abs(before.x - after.x), Math.abs(before.y - after.y));
        v.garment = { x0: 100, y0: 100, x1: 300, y1: 400 }; v.fit('garment');
        const whole = [v.left, v.top].every(Number.isInteger); v.pan(1e6, 1e6);
        return [fitted, moved, v.scale, whole, v.left < 1000 && v.top < 800]; }"""
    )
    assert found[0] == pytest.approx((800 - 48) / 1728)
    assert found[1] <= 0.5  # less than a pixel: places are rounded to the screen's
    assert found[2:] == [pytest.approx(752 / 300), True, True]


def test_the_smaller_copies_follow_a_stroke(page):
    """What a dirty rectangle updates is what a whole update gives."""
    assert page.evaluate(
        """async () => { const { Pyramid } = await import('/editor/stage.js');
        const make = () => { const p = new Pyramid(); p.resize({ width: 203, height: 155 });
            const pattern = new Uint8ClampedArray(203 * 155 * 4).map((_, i) => (i % 4 === 3 ? 255 : (i * 31) % 255));
            p.pixels.data.set(pattern); return p; };
        const one = make(), other = make(); one.update();
        const row = (y) => [(y * 203 + 51) * 4, (y * 203 + 90) * 4];
        for (const p of [one, other]) for (let y = 33; y < 60; y++) p.pixels.data.fill(255, ...row(y));
        one.update({ x0: 51, y0: 33, x1: 90, y1: 60 }); other.update();
        return one.drawings.every((d, k) => { const box = [0, 0, one.levels[k].width, one.levels[k].height];
            const a = d.getImageData(...box).data, b = other.drawings[k].getImageData(...box).data;
            return a.every((value, i) => Math.abs(value - b[i]) <= 1); }); }"""
    )
