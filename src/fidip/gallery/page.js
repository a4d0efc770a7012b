
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const read = (id) => JSON.parse(byId(id).textContent);
  const about = read("facts");
  const images = about.images.map((image, index) => ({ ...image, index }));
  const rejected = new Set(about.rejected);
  const blocks = new Map(); // pictures that have been read, by block
  const wanted = new Map(); // decisions that are not yet saved: id -> rejected?
  const view = { postures: new Set(), state: "kept", order: [], page: 0, current: 0, saving: false };
  const grid = byId("grid"), detail = byId("detail"), help = byId("help");

  // ---- small pieces -------------------------------------------------------------------------------------------------
  function make(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  function button(className, text, act) {
    const node = make("button", className, text);
    node.type = "button";
    node.addEventListener("click", act);
    return node;
  }

  const counted = (count, one, many) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
  const ageOf = (image) => (image.months === null ? "" : counted(image.months, "month", "months"));
  const visibleOf = (image) => `${image.visible} of ${image.keypoints} visible`;
  const sizeOf = (image) => `${image.width} × ${image.height}`;

  function sentence(image) {
    const parts = [`Image ${image.id}`, image.posture, ageOf(image), visibleOf(image)];
    if (rejected.has(image.id)) parts.push("rejected");
    return parts.filter(Boolean).join(", ");
  }

  // ---- pictures -----------------------------------------------------------------------------------------------------
  function picturesOf(image) {
    const block = Math.floor(image.index / about.block);
    if (!blocks.has(block)) blocks.set(block, read(`pictures-${block}`));
    return blocks.get(block)[image.index % about.block];
  }

  function frameOf(image, alt) {
    const [picture, pose] = picturesOf(image);
    const frame = make("span", picture === null ? "frame bare" : "frame");
    const layers = [["picture", "jpeg", picture], ["pose", "png", pose]].filter((layer) => layer[2] !== null);
    layers.forEach(([name, kind, data], number) => {
      const layer = make("img", name);
      layer.alt = number === 0 ? alt : "";
      layer.decoding = "async";
      layer.src = `data:image/${kind};base64,${data}`;
      frame.append(layer);
    });
    return frame;
  }

  // ---- which images, in which order ---------------------------------------------------------------------------------
  const last = (value) => (value === null ? Infinity : value);
  const shareVisible = (image) => (image.keypoints ? image.visible / image.keypoints : 0);
  const orders = {
    file: () => 0,
    youngest: (a, b) => last(a.months) - last(b.months),
    oldest: (a, b) => (b.months ?? -1) - (a.months ?? -1),
    hidden: (a, b) => shareVisible(a) - shareVisible(b),
    visible: (a, b) => shareVisible(b) - shareVisible(a),
    small: (a, b) => last(a.share) - last(b.share),
    large: (a, b) => (b.share ?? -1) - (a.share ?? -1),
    posture: (a, b) => a.posture.localeCompare(b.posture, "en"),
  };

  function stateShows(image) {
    return view.state === "all" || (view.state === "rejected") === rejected.has(image.id);
  }

  function choose() {
    const compare = orders[byId("sort").value];
    view.order = images
      .filter((image) => (view.postures.size === 0 || view.postures.has(image.posture)) && stateShows(image))
      .sort((a, b) => compare(a, b) || a.index - b.index); // also where neither has a value
    view.page = 0;
    view.current = 0;
    show();
  }

  // ---- the grid -----------------------------------------------------------------------------------------------------
  function cardOf(image, place) {
    const card = make("li", "card");
    const open = button("open", undefined, () => { view.current = place; openDetail(); });
    const caption = make("span", "caption"), line = make("span", "facts");
    caption.append(make("span", "", image.posture), make("span", "", image.months === null ? "" : `${image.months} mo`));
    line.append(make("span", "", visibleOf(image)), make("span", "", sizeOf(image)));
    const frame = frameOf(image, "");
    frame.append(make("span", "badge", "Rejected"));
    open.append(frame, caption, line);
    open.addEventListener("focus", () => setCurrent(place));
    card.append(open);
    if (about.live) card.append(button("mark", "", () => { setCurrent(place); toggle(image); }));
    card.dataset.id = String(image.id);
    dress(card, image);
    return card;
  }

  function dress(card, image) {
    const out = rejected.has(image.id);
    card.classList.toggle("rejected", out);
    card.querySelector(".open").setAttribute("aria-label", sentence(image));
    const mark = card.querySelector(".mark");
    if (mark) {
      mark.textContent = out ? "↺" : "×";
      mark.title = out ? "Restore (x)" : "Reject (x)";
      mark.setAttribute("aria-label", `${out ? "Restore" : "Reject"} image ${image.id}`);
    }
  }

  function show() {
    const first = view.page * about.block;
    const shown = view.order.slice(first, first + about.block);
    grid.dataset.state = view.state;
    grid.replaceChildren(...shown.map((image, k) => cardOf(image, first + k)));
    byId("empty").hidden = shown.length > 0;
    byId("empty-state").textContent = about.live ? ", or another of kept, rejected and all" : "";
    byId("pager").hidden = view.order.length <= about.block;
    byId("previous").disabled = view.page === 0;
    byId("next").disabled = first + about.block >= view.order.length;
    byId("range").textContent = `${first + 1}–${first + shown.length} of ${view.order.length.toLocaleString("en")}`;
    setCurrent(Math.min(Math.max(view.current, first), first + Math.max(shown.length - 1, 0)));
    summarise();
  }

  function setCurrent(place) {
    view.current = place;
    const here = place - view.page * about.block;
    [...grid.children].forEach((card, k) => {
      for (const node of card.querySelectorAll("button")) node.tabIndex = k === here ? 0 : -1;
    });
  }

  function goTo(place, focus = true) {
    if (view.order.length === 0) return;
    view.current = Math.min(Math.max(place, 0), view.order.length - 1);
    const page = Math.floor(view.current / about.block);
    if (page !== view.page) { view.page = page; show(); }
    setCurrent(view.current);
    if (focus) grid.children[view.current - view.page * about.block].querySelector(".open").focus();
  }

  function turn(pages) {
    const page = view.page + pages;
    if (page < 0 || page * about.block >= view.order.length) return;
    goTo(page * about.block);
    window.scrollTo(0, 0);
  }

  function columns() {
    const cards = [...grid.children];
    const second = cards.findIndex((card) => card.offsetTop > cards[0].offsetTop);
    return second < 0 ? cards.length : second;
  }

  // ---- words round the grid -----------------------------------------------------------------------------------------
  function summarise() {
    const people = images.reduce((sum, image) => sum + image.people, 0);
    const parts = [counted(images.length, "image", "images"), counted(people, "person", "people")];
    const out = images.filter((image) => rejected.has(image.id)).length;
    if (about.live) parts.push(`${images.length - out} kept`, `${out} rejected`);
    byId("summary").textContent = parts.join(" · ");
  }

  function buildPostures() {
    const counts = new Map();
    for (const image of images) counts.set(image.posture, (counts.get(image.posture) ?? 0) + 1);
    for (const [posture, count] of [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0], "en"))) {
      const chip = button("chip", posture, () => {
        if (!view.postures.delete(posture)) view.postures.add(posture);
        chip.setAttribute("aria-pressed", String(view.postures.has(posture)));
        choose();
      });
      chip.setAttribute("aria-pressed", "false");
      chip.append(make("small", "", count.toLocaleString("en")));
      byId("postures").append(chip);
    }
  }

  function buildStates() {
    byId("states").hidden = !about.live;
    for (const state of ["kept", "rejected", "all"]) {
      const choice = button("", state[0].toUpperCase() + state.slice(1), () => {
        view.state = state;
        for (const other of byId("states").children) other.setAttribute("aria-pressed", String(other === choice));
        choose();
      });
      choice.setAttribute("aria-pressed", String(view.state === state));
      byId("states").append(choice);
    }
  }

  function switchPoses() {
    const hidden = document.body.classList.toggle("no-poses");
    byId("pose-button").setAttribute("aria-pressed", String(!hidden));
  }

  let silence;
  function say(text) {
    byId("status").textContent = text;
    clearTimeout(silence);
    silence = setTimeout(() => { byId("status").textContent = ""; }, 2500);
  }

  // ---- one image, enlarged ------------------------------------------------------------------------------------------
  function openDetail() {
    fillDetail();
    if (!detail.open) detail.showModal();
  }

  function fillDetail() {
    const image = view.order[view.current];
    detail.querySelector(".stage").replaceChildren(frameOf(image, sentence(image)));
    byId("detail-title").textContent = image.posture;
    const rows = [
      ["Image", String(image.id)], ["File", image.name], ["Age", ageOf(image)], ["Size", sizeOf(image)],
      ["People", String(image.people)], ["Visible", `${image.visible} of ${image.keypoints}`],
      ["Occluded", String(image.occluded)],
      ["Of the picture", image.share === null ? "" : `${Math.round(100 * image.share)} %`],
      ["Domain", image.domain],
    ];
    const list = detail.querySelector("dl");
    list.replaceChildren();
    for (const [name, value] of rows) if (value) list.append(make("dt", "", name), make("dd", "", value));
    dressDetail(image);
    byId("detail-previous").disabled = view.current === 0;
    byId("detail-next").disabled = view.current === view.order.length - 1;
  }

  function dressDetail(image) {
    const mark = byId("detail-mark"), out = rejected.has(image.id);
    detail.classList.toggle("rejected", out);
    mark.hidden = !about.live;
    mark.replaceChildren(out ? "Restore" : "Reject", make("kbd", "", "x"));
  }

  function step(by) {
    const place = view.current + by;
    if (place < 0 || place >= view.order.length) return;
    goTo(place, false);
    fillDetail();
  }

  // ---- decisions ----------------------------------------------------------------------------------------------------
  function toggle(image) {
    const out = !rejected.has(image.id);
    wanted.set(image.id, out);
    mark(image.id, out);
    say(`Image ${image.id} ${out ? "rejected" : "restored"}`);
    save();
  }

  function mark(id, out) {
    if (out) rejected.add(id); else rejected.delete(id);
    const card = [...grid.children].find((one) => one.dataset.id === String(id));
    const image = images.find((one) => one.id === id);
    if (card) dress(card, image);
    if (detail.open && view.order[view.current] === image) dressDetail(image);
    summarise();
  }

  async function save() {
    if (view.saving || wanted.size === 0) return;
    view.saving = true;
    const batch = new Map(wanted);
    wanted.clear();
    let problem = "";
    try {
      const ids = (out) => [...batch].filter((entry) => entry[1] === out).map((entry) => entry[0]);
      const answer = await fetch("decide", {
        method: "POST", headers: { "Content-Type": "application/json" }, redirect: "error",
        body: JSON.stringify({ reject: ids(true), restore: ids(false) }),
      });
      const content = await answer.json();
      if (answer.ok) settle(new Set(content.rejected)); else problem = content.error;
    } catch {
      problem = "fidip gallery does not answer any more; start it again, open its new address and repeat this there";
    }
    view.saving = false;
    if (problem) for (const [id, out] of batch) if (!wanted.has(id)) wanted.set(id, out);
    byId("alarm").hidden = !problem;
    byId("alarm").firstElementChild.textContent = problem ? `${counted(wanted.size, "decision is", "decisions are")} not saved: ${problem}` : "";
    if (!problem) save();
  }

  function settle(saved) { // another page may have decided something too
    for (const image of images) {
      if (!wanted.has(image.id) && rejected.has(image.id) !== saved.has(image.id)) mark(image.id, saved.has(image.id));
    }
  }

  // ---- keys and buttons ---------------------------------------------------------------------------------------------
  const moves = {
    ArrowLeft: () => goTo(view.current - 1), ArrowRight: () => goTo(view.current + 1),
    ArrowUp: () => goTo(view.current - columns()), ArrowDown: () => goTo(view.current + columns()),
    Home: () => goTo(view.page * about.block), End: () => goTo((view.page + 1) * about.block - 1),
    n: () => turn(1), p: () => turn(-1),
  };
  const steps = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), ArrowUp: () => step(-1), ArrowDown: () => step(1) };
  const always = {
    s: switchPoses,
    x: () => { if (about.live && view.order.length) toggle(view.order[view.current]); },
    "?": () => help.showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open || event.target.matches("select")) return;
    const act = always[event.key] ?? (detail.open ? steps : moves)[event.key];
    if (!act) return;
    event.preventDefault();
    if (event.key.startsWith("Arrow") && !detail.open && !grid.contains(document.activeElement)) goTo(view.current);
    else act();
  });

  byId("sort").addEventListener("change", choose);
  byId("pose-button").addEventListener("click", switchPoses);
  byId("previous").addEventListener("click", () => turn(-1));
  byId("next").addEventListener("click", () => turn(1));
  byId("detail-previous").addEventListener("click", () => step(-1));
  byId("detail-next").addEventListener("click", () => step(1));
  byId("detail-close").addEventListener("click", () => detail.close());
  byId("detail-mark").addEventListener("click", () => toggle(view.order[view.current]));
  detail.addEventListener("close", () => goTo(view.current));
  detail.addEventListener("click", (event) => { if (event.target === detail) detail.close(); });
  byId("help-button").addEventListener("click", () => help.showModal());
  byId("help-close").addEventListener("click", () => help.close());
  byId("alarm").querySelector("button").addEventListener("click", save);
  window.addEventListener("beforeunload", (event) => { if (wanted.size || view.saving) event.preventDefault(); });

  byId("note").textContent = about.note;
  byId("note").hidden = !about.note;
  for (const node of document.querySelectorAll(".live")) node.hidden = !about.live;
  buildPostures();
  buildStates();
  choose();
})();
