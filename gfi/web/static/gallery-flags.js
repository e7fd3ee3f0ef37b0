// Flags: of one image, of a selection, of everything that matches; the words of the keys 1 to 9; undoing.
import { $, api, count, h, may, toast, whoAmI, words } from "/static/ui.js";
import { id } from "/static/results.js";
import { options, state } from "/static/gallery-state.js";
import { listedQuery } from "/static/gallery-address.js";
import { remake, remakeRows } from "/static/gallery-grid.js";

const WORD = /^[a-z][a-z0-9_-]{0,31}$/;
const MOST_STEPS = 20;
const titles = { look: "look again", good: "good example" };
const steps = []; // what can be undone: what the images had before
let changed = () => {};

export const flagWords = () => (localStorage.getItem("gfi-flags") || "look wrong good").split(" ");
const titleOf = (flag) => titles[flag] ?? words(flag).toLowerCase();

export async function offerFlags(work) {
  changed = work ?? changed;
  const used = (await api(`/v1/jobs/${id}/flags/counts`)).map(({ flag, images }) => [flag, images]);
  const chosen = $("flag").value, all = [...new Set([...used.map(([flag]) => flag), ...flagWords(), ...(chosen ? [chosen] : [])])];
  $("flag").replaceChildren(...options([["", "any"], ...all.map((flag) => [flag, `${titleOf(flag)}${new Map(used).has(flag) ? ` (${count(new Map(used).get(flag))})` : ""}`])]));
  $("flag").value = chosen;
  $("flag-kind").replaceChildren(...options(all.map((flag) => [flag, titleOf(flag)])));
  $("selection-flags").replaceChildren(...(may.submit ? flagWords() : []).slice(0, 9).map((flag, i) => h("button", { type: "button", title: `Key ${i + 1}`, onclick: () => flagSelection(flag) }, titleOf(flag))));
}

export function chooseWords() {
  const given = prompt("Flags of the keys 1 to 9, as words with blanks between (letters, digits, - and _):", flagWords().join(" "));
  if (given === null) return;
  const list = given.toLowerCase().split(/[\s,]+/).filter(Boolean).slice(0, 9);
  const wrong = list.find((word) => !WORD.test(word));
  if (wrong) { toast(`“${wrong}” is no flag: it begins with a letter and has letters, digits, - and _`, true); return; }
  if (list.length) localStorage.setItem("gfi-flags", list.join(" "));
  else localStorage.removeItem("gfi-flags");
  offerFlags();
}

// Sets the flag of these rows, or of all that match where rows is null; null removes it.
export async function setFlags(rows, flag, note = "", { remember = true } = {}) {
  const filters = rows === null ? `?${listedQuery()}` : "";
  const done = await api(`/v1/jobs/${id}/flags${filters}`, { method: "POST", body: { rows, flag, note } });
  const { name } = await whoAmI();
  const set = new Set(done.before.map(({ row }) => row));
  for (const item of state.items) if (set.has(item.row)) item.flag = flag === null ? null : { flag, note, owner: name, at: Date.now() / 1000 };
  if (remember && set.size) { steps.push(done.before); if (steps.length > MOST_STEPS) steps.shift(); }
  remakeRows(set);
  const kept = done.kept ? ` ${count(done.kept)} of other users were left as they are.` : "";
  if (remember) toast(`${flag === null ? "Flag removed" : set.size === 1 ? "Flagged" : `${count(set.size)} images flagged`}. U undoes.${kept}`, Boolean(done.kept) && !set.size);
  changed();
  offerFlags();
}

export async function undo() {
  const before = steps.pop();
  if (!before) return toast("Nothing to undo");
  const groups = new Map();
  for (const one of before) {
    const key = JSON.stringify([one.flag, one.note]);
    groups.set(key, [...(groups.get(key) ?? []), one.row]);
  }
  for (const [key, rows] of groups) await setFlags(rows, ...JSON.parse(key), { remember: false });
  return toast("Undone");
}

export async function flagSelection(flag) {
  const note = $("selection-note").value;
  if (state.all) {
    if (!confirm(`${flag === null ? "Remove the flags of" : `Flag as ${titleOf(flag)}`} all images that match?`)) return;
    await setFlags(null, flag, note);
  } else await setFlags([...state.selected.keys()], flag, note);
  remake();
}
