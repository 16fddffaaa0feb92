import { announce, byId, dataOf, element, listen, STATES } from "../page/page.js";
import { askJson, person, setPerson, watchChanges } from "../page/server.js";
import { Outbox } from "../page/store.js";
import { Filters, Listing, Query } from "./listing.js";

/** All commands of the queue, for keys and the help. @type {import("../page/page.js").Commands} */
const COMMANDS = {
  Choose: {
    walk: { keys: ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"], shown: ["←", "→", "↑", "↓"], label: "Go to another photo", run: ({ key }) => walk(key) },
    open: { keys: ["Enter"], label: "Open the photo; in the search, or if none is chosen, the first", run: open },
  },
  Decide: {
    accept: { keys: ["a"], label: "Accept the chosen photo", run: () => decide("accept", focusedCard()) },
    reject: { keys: ["r"], label: "Reject the chosen photo", run: () => decide("reject", focusedCard()) },
    reopen: { keys: ["u"], label: "Undo the decision", run: () => decide("reopen", focusedCard()) },
  },
  List: {
    group: { keys: ["g"], label: "Sort by garment, with its views together, or by doubt", run: () => filters.choose({ sort: query.isByGarment ? "" : "name" }) },
    search: { keys: ["/"], label: "Search", run: () => byId("search").focus() },
    help: { keys: ["?"], label: "This help" },
  },
};

const query = new Query(location.search);
const listing = new Listing(byId("queue"), byId("more"), query, showAnswer);
const filters = new Filters(query, restart, openFirst);
const outbox = new Outbox();
/** True if the model's verdict is known for some photo. */
let knowsDoubt = false;

/** @param {import("./listing.js").Answer} answer */
function showAnswer(answer) {
  knowsDoubt = answer.facets.doubt.known > 0;
  byId("warning").hidden = !answer.warning;
  byId("warning").textContent = answer.warning;
  byId("no-doubt").hidden = knowsDoubt || answer.facets.doubt.none === 0;
  showBatch(answer);
  filters.showFacets(answer.facets);
  byId("total").textContent = `${answer.total} ${answer.total === 1 ? "photo" : "photos"}`;
  byId("nothing").hidden = answer.total > 0;
}

/** Show the progress of the batch. @param {{counts: import("./listing.js").Counts, running: boolean}} news */
function showBatch({ counts, running }) {
  filters.showCounts(counts);
  byId("running").hidden = !running;
  const { open, ...done } = counts;
  const decided = done.accepted + done.corrected + done.rejected;
  const named = Object.entries(done).filter(([, count]) => count);
  const text = [`${decided} of ${decided + open} decided`, ...named.map(([state, count]) => `${count} ${STATES[state].toLowerCase()}`)];
  byId("progress-text").textContent = text.join(" · ");
  byId("progress-bar").ariaLabel = text.join(", ");
  byId("progress-bar").replaceChildren(
    ...[...named, ["open", open]].map(([state, count]) => {
      const part = element(`span.${state}`);
      part.style.flex = `${count} 1 0`;
      return part;
    }),
  );
  const begin = decided ? `Continue with ${open} open` : `Start with the ${knowsDoubt ? "most doubtful" : "first"} of ${open}`;
  byId("start").textContent = query.isNarrow ? "Start with the photos shown" : open ? begin : "See the summary";
}

/** The filters have changed. */
function restart() {
  history.replaceState(null, "", `/${query.search()}`);
  listing.restart();
}

/** Enter in the search opens the first match. */
async function openFirst() {
  await listing.loaded;
  const link = document.querySelector(".card a");
  if (link) link.click();
  else announce("No photo matches.");
}

/** Decide on a photo without opening it. @param {"accept" | "reject" | "reopen"} action @param {HTMLElement | null} card */
function decide(action, card) {
  const item = listing.items.find(({ id }) => id === Number(card?.dataset.id));
  if (!item) return announce("Choose a photo first, with the arrow keys or a click.");
  if (item.state === "failed") return announce("This photo was not cut: there is nothing to decide.");
  outbox.post({ id: item.id, version: item.version, action });
  if (action !== "reopen") walk("ArrowRight");
}

/** Open the first photo that the filters show; only open ones if they do not name a state. */
async function start() {
  const wanted = new Query(query.search());
  if (!wanted.get("state")) wanted.set("state", "open");
  const { items } = await askJson(`/api/photos${wanted.search({ limit: "1" })}`);
  if (items[0]) location.assign(`/photos/${items[0].id}${wanted.search()}`);
  else if (query.isNarrow) announce("None of the photos shown is open.");
  else location.assign("/statistics");
}

/** Enter opens the focused card, or the first photo. */
function open() {
  const link = focusedCard()?.querySelector("a");
  if (link) link.click();
  else start();
}

/** The focused card, or null. @returns {HTMLElement | null} */
function focusedCard() {
  return document.activeElement?.closest(".card") ?? null;
}

/** Focus another card, or the first one if none has the focus. @param {string} key an arrow */
function walk(key) {
  const cards = [...document.querySelectorAll(".card")];
  const here = focusedCard();
  const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
  const next = !here ? cards[0] : step ? cards[cards.indexOf(here) + step] : inNextRow(cards, here, key === "ArrowDown" ? 1 : -1);
  next?.querySelector("a")?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: "nearest" });
}

/** The nearest card in the row below or above. @param {HTMLElement[]} cards @param {HTMLElement} here @param {1 | -1} direction */
function inNextRow(cards, here, direction) {
  const from = here.getBoundingClientRect();
  const places = cards.map((card) => {
    const box = card.getBoundingClientRect();
    return { card, down: direction * (box.top - from.top), aside: Math.abs(box.left - from.left) };
  });
  const beyond = places.filter(({ down }) => down > 4);
  const nearest = Math.min(...beyond.map(({ down }) => down));
  return beyond.filter(({ down }) => down < nearest + 4).sort((one, other) => one.aside - other.aside)[0]?.card;
}

function clicked({ target }) {
  const button = target instanceof Element && target.closest("button");
  if (!button) return;
  const { garment, action } = button.dataset;
  if (garment) filters.choose({ garment });
  if (action) decide(action, button.closest(".card"));
}

const name = byId("person");
name.value = person();
name.addEventListener("change", () => setPerson(name.value));
byId("start").addEventListener("click", (event) => (event.preventDefault(), start()));
document.addEventListener("click", clicked);
addEventListener("pageshow", (event) => event.persisted && listing.restart()); // back from a photo: the list is outdated
outbox.on("sent", ({ item }) => item && listing.update(item));
for (const kind of ["stale", "refused"]) {
  outbox.on(kind, ({ item, message }) => {
    if (item) listing.update(item);
    announce(`${item?.name ?? "A photo"} was not saved. ${message}`, { urgent: true });
  });
}
listen(COMMANDS);
const first = dataOf("queue-data");
listing.begin(first);
outbox.resume();
watchChanges(first.revision, (change) => {
  for (const item of change.items) listing.update(item);
  byId("nothing").hidden = listing.items.length > 0;
  showBatch(change);
});
