"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const body = document.body, list = $("list"), viewer = $("viewer");
  const keep = {
    get(name) { try { return localStorage.getItem("gfi-report-" + name); } catch { return null; } },
    set(name, value) { try { localStorage.setItem("gfi-report-" + name, value); } catch { /* storage is blocked, as in private windows */ } },
  };

  // The page's theme: as the system has it, light or dark.
  const themes = ["system", "light", "dark"];
  const theme = (name) => {
    if (name === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    $("theme").textContent = "Theme: " + name;
    keep.set("theme", name);
  };
  theme(themes.includes(keep.get("theme")) ? keep.get("theme") : "system");
  $("theme").addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || "system";
    theme(themes[(themes.indexOf(now) + 1) % 3]);
  });

  const cards = Array.from(list.children).map((element, index) => ({
    element, index,
    status: element.dataset.status,
    key: element.dataset.key,
    values: JSON.parse(element.dataset.values),
    text: null,
  }));
  if (!cards.length) return;

  // How the mask is drawn.
  const opacity = (value) => {
    document.documentElement.style.setProperty("--opacity", value / 100);
    for (const id of ["opacity", "viewer-opacity"]) {
      $(id).value = value;
      $(id + "-value").textContent = value + " %";
    }
    keep.set("opacity", value);
  };
  for (const id of ["opacity", "viewer-opacity"]) $(id).addEventListener("input", (e) => opacity(e.target.value));
  const colourMap = (name) => { body.dataset.map = $("map").value = name; keep.set("map", name); };
  $("map").addEventListener("change", (e) => colourMap(e.target.value));
  const choose = (set, value) => {
    body.dataset[set] = value;
    for (const b of document.querySelectorAll(`[data-set="${set}"] button`)) b.setAttribute("aria-pressed", b.value === value);
    keep.set(set, value);
  };
  for (const b of document.querySelectorAll("[data-set] button"))
    b.addEventListener("click", () => choose(b.parentElement.dataset.set, b.value));
  if (keep.get("opacity") !== null && keep.get("opacity") >= 0 && keep.get("opacity") <= 100) opacity(keep.get("opacity"));
  if (Array.from($("map").options).some((o) => o.value === keep.get("map"))) colourMap(keep.get("map"));
  if (["compare", "overlay"].includes(keep.get("view"))) choose("view", keep.get("view"));
  if (["heat", "light"].includes(keep.get("mode"))) choose("mode", keep.get("mode"));

  // Filtering and sorting. Only the cards down to the scroll position are in the document: with 5,000 cards in it,
  // filtering took Chromium a minute.
  const PAGE = 120;
  let status = "", down = false, visible = cards, attached = cards.length;
  const more = (count) => {
    const next = visible.slice(attached, attached + count);
    attached += next.length;
    list.append(...next.map((c) => c.element));
    $("more").hidden = attached >= visible.length;
  };
  new IntersectionObserver((seen) => { if (seen.some((e) => e.isIntersecting)) more(PAGE); }, { rootMargin: "1500px" }).observe($("more"));
  const collator = new Intl.Collator(undefined, { numeric: true });
  const show = () => {
    const wanted = $("find").value.trim().toLowerCase();
    visible = [];
    for (const c of cards) {
      if (wanted && c.text === null)
        c.text = (c.key + " " + Array.from(c.element.querySelectorAll(".classes dd"), (d) => d.textContent).join(" ")).toLowerCase();
      const fits = (!status || c.status === status) && (!wanted || c.text.includes(wanted));
      if (fits) visible.push(c);
    }
    const by = $("sort").value, sign = down ? -1 : 1;
    const compare = by === "" ? (a, b) => sign * (a.index - b.index)
      : by === "#key" ? (a, b) => sign * collator.compare(a.key, b.key) || a.index - b.index
      : (a, b) => {
          const x = a.values[by], y = b.values[by];
          if (x === undefined || y === undefined) return (x === undefined) - (y === undefined) || a.index - b.index;
          return sign * (x - y) || a.index - b.index;
        };
    visible.sort(compare);
    attached = 0;
    list.replaceChildren();
    more(PAGE);
    const n = visible.length.toLocaleString("en"), all = cards.length.toLocaleString("en");
    $("shown").textContent = visible.length === cards.length ? `${all} ${cards.length === 1 ? "image" : "images"}` : `${n} of ${all} images`;
    $("nothing").hidden = visible.length > 0;
  };
  const filter = (value) => {
    status = value;
    for (const b of document.querySelectorAll(".chip")) b.setAttribute("aria-pressed", b.dataset.status === value);
    show();
  };
  for (const b of document.querySelectorAll(".chip"))
    b.addEventListener("click", () => filter(b.dataset.status === status ? "" : b.dataset.status));
  let typing = 0;
  $("find").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(show, 120); });
  $("sort").addEventListener("change", show);
  $("direction").addEventListener("click", () => {
    down = !down;
    $("direction").textContent = down ? "↓" : "↑";
    $("direction").setAttribute("aria-pressed", down);
    show();
  });
  $("reset").addEventListener("click", () => { $("find").value = ""; filter(""); $("find").focus(); });

  if (cards.length > PAGE) show();

  // The large view.
  let at = 0;
  const look = (position) => {
    at = Math.min(Math.max(position, 0), visible.length - 1);
    const card = visible[at].element;
    const pictures = Array.from(card.querySelectorAll(".stack > *"), (node) => {
      const copy = node.cloneNode(true);
      if (copy.dataset.large) copy.src = copy.dataset.large;
      copy.loading = "eager";
      return copy;
    });
    $("viewer-pic").replaceChildren(...pictures);
    $("viewer-about").replaceChildren(...Array.from(card.querySelector(".about").children, (node) => node.cloneNode(true)));
    $("viewer-about").querySelector("h2").id = "viewer-name";
    $("viewer-place").textContent = `${(at + 1).toLocaleString("en")} of ${visible.length.toLocaleString("en")}`;
    $("previous").disabled = at === 0;
    $("next").disabled = at === visible.length - 1;
  };
  list.addEventListener("click", (e) => {
    const button = e.target.closest(".open");
    if (!button) return;
    look(visible.findIndex((c) => c.element === button.parentElement));
    viewer.showModal();
    viewer.scrollTop = 0;
  });
  $("previous").addEventListener("click", () => look(at - 1));
  $("next").addEventListener("click", () => look(at + 1));
  $("close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("click", (e) => { if (e.target === viewer) viewer.close(); });
  viewer.addEventListener("close", () => {
    $("viewer-pic").classList.remove("alone");
    if (at >= attached) more(at + 1 - attached);
    const card = visible[at].element;
    card.scrollIntoView({ block: "nearest" });
    card.querySelector(".open").focus();
  });
  viewer.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.type === "range") return;
    const moves = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: visible.length - 1 };
    if (e.key in moves) look(moves[e.key]);
    else if (e.key === "o" || e.key === "O") $("viewer-pic").classList.toggle("alone");
    else if (e.key === "s" || e.key === "S") choose("mode", body.dataset.mode === "heat" ? "light" : "heat");
    else return;
    e.preventDefault();
  });
})();
