import { byId, dataOf, element, listen, percentOf, STATES, VERDICTS, viewName } from "../page/page.js";
import { watchChanges } from "../page/server.js";
import { Outbox } from "../page/store.js";
import { isOn } from "../painting/plane.js";
import { commandsOf, SHORTCUTS } from "./commands.js";
import { BrushPanel, loadSettings, SplitView, ViewBar } from "./controls.js";
import { Desk } from "./desk.js";
import { Easel, loadPhoto } from "./photo.js";
import { Cursor, Pointer } from "./pointer.js";
import { Stage } from "./stage.js";
import { Toolbox } from "./tools.js";

/**
 * The editor's page: its parts put together, and what is known about the photo written beside it.
 *
 * @import { PlacedItem } from "../page/server.js"
 */

const first = dataOf("photo-data");
const entry = loadPhoto(first);
entry.catch(() => undefined); // whoever waits for it hears of it
const settings = loadSettings();
const stage = new Stage(byId("canvas"));
const easel = new Easel(stage, settings);
const toolbox = new Toolbox(easel);
const outbox = new Outbox();
const desk = new Desk(easel, outbox, location.search);
const cursor = new Cursor(stage);
const showBrush = () => cursor.show(toolbox.tool.isRound, settings.size);
const brush = new BrushPanel(settings, showBrush);
const views = new ViewBar(easel, new SplitView(stage));
const pointer = new Pointer(stage, () => toolbox.tool);
const note = /** @type {HTMLTextAreaElement} */ (byId("note"));

/** The photo was zoomed or moved. */
function showView() {
  views.showZoom();
  showBrush();
}

/** Another tool is in the hand. */
function showTool() {
  for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-command^=tool-]"))) {
    button.ariaPressed = String(button.dataset.command === `tool-${toolbox.name}`);
  }
  byId("hint").textContent = toolbox.tool.hint;
  byId("brush-section").classList.toggle("unused", !toolbox.tool.isRound);
  showBrush();
}

/** Another photo is on the easel. */
function showOpened() {
  const item = /** @type {PlacedItem} */ (desk.item);
  const address = `/photos/${item.id}${desk.query}`;
  if (location.pathname + location.search !== address) history.pushState(null, "", address);
  showItem();
  views.follow();
  showView();
}

/** What is known about the photo is another. */
function showItem() {
  const { item } = desk;
  if (!item) return;
  document.title = `${item.name} · garmentcut`;
  byId("photo-name").textContent = item.name;
  byId("photo-name").title = item.place;
  byId("photo-view").textContent = viewName(item.view);
  const isChanged = desk.photo?.isChanged ?? false;
  const state = item.state === "open" && item.has_draft ? "Open, with draft" : STATES[item.state];
  byId("photo-state").className = `state ${isChanged ? "changed" : item.state}`;
  byId("photo-state").textContent = isChanged ? "Changed, not stored" : state;
  byId("photo-doubt").textContent = [VERDICTS[item.verdict], item.doubt !== null && `doubt ${percentOf(item.doubt)}`].filter(Boolean).join(" · ");
  byId("doubt-bar").hidden = item.doubt === null;
  /** @type {HTMLMeterElement} */ (byId("doubt-bar")).value = item.doubt ?? 0;
  byId("photo-reasons").replaceChildren(...item.reasons.map((reason) => element("li", {}, reason)));
  byId("position").textContent = `${item.position} of ${item.total}`;
  const heat = /** @type {HTMLButtonElement} */ (byId("heat-button"));
  heat.disabled = item.urls.heat === null;
  heat.title = heat.disabled ? "The model drew no map of its doubt" : "Where the model doubts (H)";
  byId("failure").hidden = item.urls.alpha !== null;
  byId("failure").textContent = `This photo could not be cut. ${item.reason}`;
  if (document.activeElement !== note) note.value = item.note;
  showSiblings(item);
}

/** The garment's other views beside it. @param {PlacedItem} item */
function showSiblings({ id, siblings }) {
  const key = [id, ...siblings.map((sibling) => `${sibling.id} ${sibling.state} ${sibling.urls.thumbnail}`)].join();
  if (byId("siblings").dataset.shown === key) return; // new pictures would flicker
  byId("siblings").dataset.shown = key;
  const links = siblings.map((sibling) => {
    const [view, state] = [viewName(sibling.view), STATES[sibling.state]];
    const picture = sibling.urls.alpha === null ? element("div.missing") : element("img", { src: sibling.urls.thumbnail, alt: "", decoding: "async" });
    const dot = element(`span.dot.${sibling.state}`, { title: state });
    const address = { href: `/photos/${sibling.id}${desk.query}`, "data-id": sibling.id, "aria-label": `${view}, ${state}` };
    const link = element("a", address, picture, element("span", {}, dot, view));
    if (sibling.id === id) link.ariaCurrent = "true";
    return element("li", {}, link);
  });
  byId("siblings-section").hidden = siblings.length < 2;
  byId("siblings").replaceChildren(...links);
}

/** Where the pointer is, and the alpha there. */
function showPlace() {
  const alpha = desk.photo?.alpha;
  const [x, y] = [Math.floor(pointer.place.x), Math.floor(pointer.place.y)];
  byId("place").textContent = alpha && isOn(alpha, { x, y }) ? `${x}, ${y} · alpha ${alpha.data[y * alpha.width + x]}` : "";
}

/** @param {MouseEvent} event a click on a link that need not load a page */
function clicked(event) {
  const link = /** @type {HTMLAnchorElement | null} */ (/** @type {HTMLElement} */ (event.target).closest("#siblings a, #to-queue"));
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (link.dataset.id) desk.open(Number(link.dataset.id));
  else desk.leaveFor(link.href);
}

listen(SHORTCUTS, commandsOf({ desk, easel, toolbox, brush, views }));
document.addEventListener("click", clicked);
note.addEventListener("change", () => desk.writeNote(note.value));
note.addEventListener("keydown", (event) => event.key === "Escape" && stage.canvas.focus());
addEventListener("popstate", () => desk.open(Number(location.pathname.split("/").at(-1))));
toolbox.addEventListener("choose", showTool);
desk.addEventListener("open", showOpened);
desk.addEventListener("update", showItem);
outbox.addEventListener("waiting", () => (byId("saving").hidden = outbox.waiting.length === 0));
pointer.addEventListener("place", showPlace);
stage.onview = showView;
desk.clock.watch();
showTool();
await outbox.resume().catch(() => undefined);
await desk.open(first.id, entry);
watchChanges(first.revision, ({ items }) => items.length && desk.hear(items));
