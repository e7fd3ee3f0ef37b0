// Label and prediction of a job's images: the matrix of the classes that are confused most, the confusions, their images.
import { $, api, count, empty, fill, h, percent, showErrors, showPage } from "/static/ui.js";
import { galleryLink, id, job, photograph, picture, showTitle } from "/static/results.js";

const SIDE = 20; // classes of the matrix
const LISTED = 100;
const EXAMPLES = 6;
let asked = 0;

const link = (label, prediction) => galleryLink({ label, prediction });

function matrix(pairs) {
  const wrong = new Map(), names = new Map(), totals = new Map();
  const add = (map, key, n) => map.set(key, (map.get(key) ?? 0) + n);
  for (const pair of pairs) {
    add(totals, pair.label, pair.images);
    if (pair.index === null) continue;
    names.set(pair.prediction, pair.prediction_name);
    if (!names.has(pair.index)) names.set(pair.index, pair.label);
    if (pair.right === false) { add(wrong, pair.index, pair.images); add(wrong, pair.prediction, pair.images); }
  }
  const classes = [...wrong].sort(([, a], [, b]) => b - a).slice(0, SIDE).map(([index]) => index);
  const rows = [...new Set(pairs.filter((pair) => classes.includes(pair.index)).map((pair) => pair.label))].sort((a, b) => order(a) - order(b));
  function order(label) { return classes.indexOf(pairs.find((pair) => pair.label === label).index); }
  const at = new Map(pairs.map((pair) => [`${pair.prediction} ${pair.label}`, pair]));
  $("matrix-words").textContent = classes.length ? `Rows: label; columns: prediction; darker: a larger share of the label.${wrong.size > SIDE ? ` The ${SIDE} classes of ${count(wrong.size)} that are confused most.` : ""}` : "Every prediction is the class that the label names.";
  $("matrix-head").replaceChildren(h("td"), ...classes.map((index) => h("th", { scope: "col" }, h("span", null, names.get(index)))));
  $("matrix").replaceChildren(...rows.map((label) => h("tr", null, h("th", { scope: "row" }, label), ...classes.map((index) => {
    const pair = at.get(`${index} ${label}`);
    if (!pair) return h("td");
    const share = pair.images / totals.get(label);
    const text = `${label} predicted as ${names.get(index)}: ${count(pair.images)} images, ${percent(share)}`;
    return h(`td${pair.right ? ".right" : ""}`, { style: { "--share": `${Math.round(35 * share)}%` } }, h("a", { href: link(label, index), title: text, "aria-label": text }, count(pair.images)));
  }))));
  return totals;
}

function sideBySide(label, pair, ranks) {
  const [item] = ranks;
  const one = (name, found, why) => {
    const pic = h("span.pic");
    const missing = (text) => () => pic.append(h("em", null, text));
    pic.append(photograph(id, item, 320, missing("no photograph")));
    if (found?.has_mask) pic.append(h("img.over", { src: picture(id, found, "mask.png", { size: 320, map: "viridis" }), alt: "", onerror: missing("no mask") }));
    else pic.append(h("b", null, why));
    return h("figure", null, pic, h("figcaption", null, name));
  };
  const of = (index) => ranks.find((rank) => rank.target === index);
  return h("div.side-by-side", null,
    one(`Predicted: ${pair.prediction_name}`, of(pair.prediction), "not explained"),
    one(`Label: ${label}`, of(pair.index), "this class was not explained: submit with more classes (top)"),
    h("p.soft.any", null, h("a", { href: galleryLink({ row: item.row }) }, item.key.split("/").pop())));
}

async function showPair(pair) {
  const mine = (asked += 1);
  const query = new URLSearchParams({ label: pair.label, prediction: pair.prediction, limit: EXAMPLES * 3 });
  const { items } = await api(`/v1/jobs/${id}/results?${query}`);
  if (mine !== asked) return;
  const images = new Map();
  for (const item of items) images.set(item.row, [...(images.get(item.row) ?? []), item]);
  $("pair-name").textContent = `${pair.label} → ${pair.prediction_name}`;
  $("pair-hint").replaceChildren(h("a", { href: link(pair.label, pair.prediction) }, `All ${count(pair.images)} images`));
  $("pair").replaceChildren(...[...images.values()].slice(0, EXAMPLES).map((ranks) => sideBySide(pair.label, pair, ranks)));
}

showErrors(async () => {
  const [made] = await Promise.all([api(`/v1/jobs/${id}/confusion`), job, showTitle("confusion")]);
  $("all-wrong").href = galleryLink({ wrong: true });
  if (!made.total) return empty("No labels", "The images of this job have no labels, or none was predicted yet. Labels come from folders, manifests and tables.");
  const known = made.right + made.wrong;
  const figures = [[percent(known ? made.right / known : null), "accuracy"], [count(made.right), "right"], [count(made.wrong), "wrong"], ...(made.unknown ? [[count(made.unknown), "whose label names no class of the model"]] : [])];
  $("figures").replaceChildren(...figures.map(([value, text]) => h("", null, h("strong", null, value), h("span", null, text))));
  const totals = matrix(made.pairs);
  const wrong = made.pairs.filter((pair) => pair.right === false);
  fill($("pairs"), wrong.slice(0, LISTED).map((pair) => h("tr", null, h("td", null, pair.label), h("td", null, pair.prediction_name), h("td.num", null, h("a", { href: link(pair.label, pair.prediction) }, count(pair.images))), h("td.num", null, percent(pair.images / totals.get(pair.label))), h("td.do", null, h("button", { type: "button", "aria-label": `Examples of ${pair.label} predicted as ${pair.prediction_name}`, onclick: () => showErrors(async () => { await showPair(pair); if (matchMedia("(max-width: 760px)").matches) $("pair-panel").scrollIntoView(); }) }, "Examples")))));
  showPage();
  if (wrong.length) await showPair(wrong[0]);
  return undefined;
});
