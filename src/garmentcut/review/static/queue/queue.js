import { byId, dataOf } from "../page/elements.js";
import { insist, watchConnection } from "../page/connection.js";
import { fillHelp, toggleHelp, watchHelp } from "../page/help.js";
import { listen } from "../page/keyboard.js";
import { announce } from "../page/messages.js";
import { Outbox } from "../page/outbox.js";
import { askJson, person, setPerson } from "../page/server.js";
import { watchChanges } from "./changes.js";
import { Filters } from "./filters.js";
import { Listing } from "./listing.js";
import { Pages } from "./pages.js";
import { showProgress } from "./progress.js";
import { Query } from "./query.js";
import { SHORTCUTS } from "./shortcuts.js";
import { focusedCard, walk } from "./walk.js";

const query = new Query(location.search);
const listing = new Listing(byId("queue"), query);
const pages = new Pages(listing, byId("more"), showAnswer);
const filters = new Filters(query, restart);
const outbox = new Outbox();
/** The model has said of some photo how sure it is. */
let knowsDoubt = false;

/** @param {import("./pages.js").Answer} answer */
function showAnswer(answer) {
  knowsDoubt = answer.facets.doubt.known > 0;
  byId("no-doubt").hidden = knowsDoubt || answer.facets.doubt.none === 0;
  showBatch(answer);
  filters.showFacets(answer.facets);
  byId("total").textContent = `${answer.total} ${answer.total === 1 ? "photo" : "photos"}`;
  byId("nothing").hidden = answer.total > 0;
}

/** @param {{counts: import("./pages.js").Counts, running: boolean}} news */
function showBatch({ counts, running }) {
  showProgress(counts, knowsDoubt);
  filters.showCounts(counts);
  byId("running").hidden = !running;
}

/** The filters are others. */
function restart() {
  history.replaceState(null, "", `/${query.search}`);
  pages.restart();
}

/** Decide on the chosen photo without opening it. @param {"accept" | "reject" | "reopen"} action @param {HTMLElement | null} card */
function decide(action, card) {
  const item = card && listing.itemOf(Number(card.dataset.id));
  if (!item) return announce("Choose a photo first: arrow keys, or a click.");
  if (item.state === "failed") return announce("This photo was not cut: there is nothing to decide.");
  outbox.post({ id: item.id, version: item.version, action });
  if (action !== "reopen") walk("ArrowRight");
}

/** The most doubtful open photo. */
async function start() {
  const { items } = await insist(() => askJson("/api/photos?state=open&limit=1"));
  if (items[0]) location.assign(`/photos/${items[0].id}?state=open`);
}

/** Enter: what is chosen, or where to begin. */
function open() {
  const link = focusedCard()?.querySelector("a");
  if (link) link.click();
  else start();
}

/** @param {Event} event */
function clicked(event) {
  const button = event.target instanceof Element && event.target.closest("button");
  if (!(button instanceof HTMLElement)) return;
  if (button.dataset.garment) filters.choose("garment", button.dataset.garment);
  if (button.dataset.action) decide(/** @type {"accept" | "reject"} */ (button.dataset.action), button.closest(".card"));
  if (button.dataset.command === "help") toggleHelp();
}

/** What was stored, here or elsewhere. */
function listenToOutbox() {
  outbox.addEventListener("sent", (event) => listing.update(/** @type {CustomEvent} */ (event).detail.item, pages.cursor !== null));
  for (const kind of ["stale", "refused"]) {
    outbox.addEventListener(kind, (event) => {
      const { item, message } = /** @type {CustomEvent} */ (event).detail;
      if (item) listing.update(item, pages.cursor !== null);
      announce(`${item?.name ?? "A photo"} was not stored. ${message}`, { urgent: true });
    });
  }
}

/** @param {Parameters<Parameters<typeof watchChanges>[1]>[0]} change */
function showChange(change) {
  for (const item of change.items) listing.update(item, pages.cursor !== null);
  byId("nothing").hidden = listing.items.length > 0;
  showBatch(change);
}

const commands = {
  walk: (/** @type {KeyboardEvent} */ event) => walk(/** @type {any} */ (event.key)),
  open,
  accept: () => decide("accept", focusedCard()),
  reject: () => decide("reject", focusedCard()),
  reopen: () => decide("reopen", focusedCard()),
  group: () => filters.choose("sort", query.isByGarment ? "" : "name"),
  search: () => /** @type {HTMLElement} */ (document.querySelector("input[type=search]")).focus(),
  help: toggleHelp,
};

const name = /** @type {HTMLInputElement} */ (byId("person"));
name.value = person();
name.addEventListener("change", () => setPerson(name.value));
byId("start").addEventListener("click", (event) => (event.preventDefault(), start()));
document.addEventListener("click", clicked);
addEventListener("pageshow", (event) => event.persisted && pages.restart()); // back from a photo: what is shown is old
fillHelp(SHORTCUTS);
watchHelp();
byId("help-close").addEventListener("click", toggleHelp);
watchConnection();
listen(SHORTCUTS, commands);
listenToOutbox();
filters.show();
const first = dataOf("queue-data");
pages.begin(first);
outbox.resume();
watchChanges(first.revision, showChange);
