"use strict";
const given = JSON.parse(document.getElementById("given").textContent);
const key = "garmentcut-audit:" + JSON.parse(document.getElementById("where").textContent);
const verdicts = { ...given, ...stored() };
const articles = [...document.querySelectorAll("article")];

function stored() {
  try { return JSON.parse(localStorage.getItem(key)) || {}; } catch { return {}; }
}
function show() {
  for (const article of articles) {
    const verdict = verdicts[article.dataset.name] || "";
    article.dataset.verdict = verdict;
    for (const input of article.querySelectorAll("input")) input.checked = input.value === verdict;
  }
  const said = articles.filter((article) => article.dataset.verdict).length;
  document.getElementById("count").textContent = `${said} of ${articles.length} judged`;
}
for (const article of articles) {
  article.addEventListener("change", (event) => {
    verdicts[article.dataset.name] = event.target.value;
    try { localStorage.setItem(key, JSON.stringify(verdicts)); } catch { /* kept until the page is closed */ }
    show();
  });
}
document.getElementById("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify({ verdicts }, null, 1)], { type: "application/json" }));
  link.download = "verdicts.json";
  link.click();
  URL.revokeObjectURL(link.href);
});
show();
