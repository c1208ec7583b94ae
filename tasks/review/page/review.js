"use strict";
// The page of a review. Everything that comes from the server is put in as text, never as markup.
(() => {
  const at = (id) => document.getElementById(id);
  const WORDS = { accept: "accepted", reject: "rejected", reclass: "re-classed", reopen: "opened again" };
  const MARKS = { accept: "✓", reject: "✗", reclass: "⇄" };
  const REFRESH_MS = 20000;
  const NAME_KEY = "spanscan-reviewer";
  const state = { defects: [], byId: new Map(), structures: [], decisions: {}, made: 0, shown: [], current: null, outlined: true };
  const saw = new Map(); // decisions on each defect that this tab has shown

  const make = (name, text, className) => {
    const one = document.createElement(name);
    if (text !== undefined) one.textContent = text;
    if (className) one.className = className;
    return one;
  };
  const isolated = (text) => make("bdi", text);
  const pictureOf = (id, look) => `/pictures/${look}/${encodeURIComponent(id)}`;

  async function ask(path, body) {
    const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    const answer = await fetch(path, options);
    const isJson = (answer.headers.get("content-type") || "").startsWith("application/json");
    return { ok: answer.ok, status: answer.status, data: isJson ? await answer.json() : { message: await answer.text() } };
  }

  function complain(text) {
    at("message").textContent = text;
    at("message").hidden = !text;
  }

  const reasonOf = (answer) => answer.data.message || `the server answered ${answer.status}`;
  const standing = (id) => (state.decisions[id] && state.decisions[id].stands ? state.decisions[id] : null);
  const verdictOf = (id) => (standing(id) ? standing(id).verdict : "none");
  const moment = (text) => `${text.slice(0, 10)} ${text.slice(11, 16)} UTC`;

  // Who

  const reviewer = () => at("reviewer-name").dataset.name || "";
  function setReviewer(name) {
    at("reviewer-name").dataset.name = name;
    at("reviewer-name").textContent = name || "not stated";
    try { localStorage.setItem(NAME_KEY, name); } catch { /* kept for this page alone */ }
  }
  function knownReviewer() {
    if (document.body.dataset.reviewer) return document.body.dataset.reviewer;
    try { return localStorage.getItem(NAME_KEY) || ""; } catch { return ""; }
  }
  function askReviewer() {
    at("ask-name").value = reviewer();
    at("ask").showModal();
    at("ask-name").focus();
  }

  // List

  function filtered() {
    const [decision, kind, severity, structure] = ["decision", "class", "state", "structure"].map((name) => at(`filter-${name}`).value);
    return state.defects.filter((one) => (!decision || verdictOf(one.id) === decision) && (!kind || one.class === kind)
      && (!severity || one.state === severity) && (!structure || String(one.structure) === structure));
  }

  function row(one) {
    const button = make("button");
    button.type = "button";
    button.dataset.id = one.id;
    button.append(make("span", "", "mark"), make("span", one.id, "id"), make("span", one.size, "size"), make("span", one.state, `badge ${one.css}`));
    button.addEventListener("click", () => show(one.id));
    const item = make("li");
    item.append(button);
    mark(button);
    return item;
  }

  function mark(button) {
    const verdict = verdictOf(button.dataset.id);
    const sign = button.firstChild;
    sign.className = `mark mark-${verdict}`;
    sign.replaceChildren(make("span", MARKS[verdict] || "·"), make("span", verdict === "none" ? " not looked at" : ` ${WORDS[verdict]}`, "sr"));
    sign.firstChild.setAttribute("aria-hidden", "true");
  }

  function drawList() {
    state.shown = filtered();
    const sections = [];
    let of = null;
    let rows = null;
    for (const one of state.shown) {
      if (one.structure !== of) {
        of = one.structure;
        const section = make("section");
        const heading = make("h2");
        heading.append(isolated(state.structures[of]));
        rows = make("ul");
        section.append(heading, rows);
        sections.push(section);
      }
      rows.append(row(one));
    }
    at("list").replaceChildren(...sections);
    at("count").textContent = state.shown.length === state.defects.length ? `${state.defects.length} defects, worst first` : `${state.shown.length} of ${state.defects.length} defects`;
    markCurrent();
  }

  function markCurrent() {
    for (const button of at("list").querySelectorAll("button")) {
      const isCurrent = button.dataset.id === state.current;
      if (isCurrent) {
        button.setAttribute("aria-current", "true");
        button.scrollIntoView({ block: "nearest" });
      } else button.removeAttribute("aria-current");
    }
  }

  function takeDecisions(data) {
    const changed = Object.keys(data.decisions).filter((id) => !state.decisions[id] || state.decisions[id].number !== data.decisions[id].number);
    state.decisions = data.decisions;
    state.made = data.made;
    at("progress-text").textContent = `${data.looked_at} of ${data.all} looked at`;
    at("progress-bar").max = Math.max(1, data.all);
    at("progress-bar").value = data.looked_at;
    for (const button of at("list").querySelectorAll("button")) if (changed.includes(button.dataset.id)) mark(button);
    return changed;
  }

  // One defect

  function step(by) {
    if (state.shown.length === 0) return;
    const here = state.shown.findIndex((one) => one.id === state.current);
    const next = here < 0 ? 0 : Math.min(Math.max(here + by, 0), state.shown.length - 1);
    show(state.shown[next].id);
  }

  function nextUndecided() {
    const here = state.shown.findIndex((one) => one.id === state.current);
    const round = [...state.shown.slice(here + 1), ...state.shown.slice(0, here + 1)];
    const next = round.find((one) => verdictOf(one.id) === "none");
    if (next) show(next.id);
  }

  async function show(id) {
    state.current = id;
    markCurrent();
    complain("");
    const answer = await ask(`/api/defects/${encodeURIComponent(id)}`);
    if (state.current !== id) return;
    if (!answer.ok) { complain(`${id}: ${reasonOf(answer)}`); return; }
    drawDefect(answer.data);
    drawPicture();
    prefetch(id);
  }

  function drawDefect(one) {
    at("nothing").hidden = true;
    at("sheet").hidden = false;
    at("sheet").dataset.id = one.id;
    const name = `${one.class[0].toUpperCase()}${one.class.slice(1)} ${one.id}`;
    at("title").replaceChildren(make("span", name), make("span", one.state, `badge ${one.css}`));
    at("headline").replaceChildren(make("span", `${one.headline} · `), isolated(state.structures[one.structure]));
    at("reclass-word").textContent = `It is ${one.other}`;
    at("caption").textContent = one.caption;
    at("picture-note").textContent = one.note;
    at("picture").width = one.width_px;
    at("picture").height = one.height_px;
    at("picture").dataset.name = name;
    at("facts").replaceChildren(...one.facts.map(([label, value]) => {
      const line = make("div");
      const said = make("dd");
      said.append(isolated(value));
      line.append(make("dt", label), said);
      return line;
    }));
    saw.set(one.id, one.history.length);
    at("comment").value = one.history.length ? one.history[one.history.length - 1].comment : "";
    drawHistory(one.history);
  }

  function sentence(decision) {
    const what = decision.verdict === "reclass" ? `re-classed as ${decision.final_class}` : WORDS[decision.verdict];
    const parts = [make("b", what), make("span", " by "), isolated(decision.reviewer), make("span", `, ${moment(decision.decided_at)}`)];
    if (decision.comment) parts.push(make("span", ": "), isolated(decision.comment));
    return parts;
  }

  function drawHistory(history) {
    const last = history[history.length - 1];
    const stands = last && last.stands ? last : null;
    at("standing").className = `standing standing-${stands ? stands.verdict : "none"}`;
    at("standing").replaceChildren(...(stands ? sentence(stands) : [make("span", "Nobody has decided on this one.")]));
    for (const button of document.querySelectorAll("#verdicts [data-verdict]")) {
      button.setAttribute("aria-pressed", String(Boolean(stands) && stands.verdict === button.dataset.verdict));
    }
    at("reopen").hidden = !stands;
    at("history").replaceChildren(...history.map((one) => { const item = make("li"); item.append(...sentence(one)); return item; }));
    at("history").hidden = at("history-head").hidden = history.length < 2;
  }

  function drawPicture() {
    const picture = at("picture");
    const look = state.outlined ? "outlined" : "plain";
    picture.dataset.loading = "true";
    picture.alt = `${picture.dataset.name}, ${state.outlined ? "outlined" : "as photographed"}, with a scale bar`;
    picture.src = pictureOf(state.current, look);
    at("outline").setAttribute("aria-pressed", String(state.outlined));
  }

  function prefetch(id) {
    const here = state.shown.findIndex((one) => one.id === id);
    const next = state.shown[here + 1];
    new Image().src = pictureOf(id, state.outlined ? "plain" : "outlined");
    if (next) new Image().src = pictureOf(next.id, state.outlined ? "outlined" : "plain");
  }

  // Decisions

  let deciding = false;
  async function decide(verdict) {
    const id = state.current;
    if (deciding || at("sheet").dataset.id !== id || at("sheet").hidden) return;
    if (!reviewer()) { askReviewer(); return; }
    deciding = true;
    try {
      const comment = at("comment").value;
      const answer = await ask("/api/decisions", { defect_id: id, verdict, comment, reviewer: reviewer(), saw: saw.get(id) });
      if (answer.ok) {
        complain("");
        takeDecisions(answer.data);
        const here = state.shown.findIndex((one) => one.id === id);
        const next = state.shown[here + 1];
        if (at("filter-decision").value) drawList();
        await show(next && verdict !== "reopen" ? next.id : id);
      } else if (answer.status === 409) {
        takeDecisions(answer.data);
        await show(id);
        at("comment").value = comment;
        const first = state.decisions[id];
        complain(`${first.reviewer} decided on ${id} meanwhile: ${WORDS[first.verdict]}, ${moment(first.decided_at)}. Your “${WORDS[verdict]}” was not saved; the comment is still here. Decide again to overrule.`);
      } else complain(`Not saved: ${reasonOf(answer)}`);
    } catch (error) {
      complain(`Not saved: the server of this page does not answer (${error.message}). Is “spanscan review” still running?`);
    } finally {
      deciding = false;
    }
  }

  async function refresh() {
    if (document.hidden || deciding) return;
    try {
      const answer = await ask("/api/decisions");
      if (answer.ok) {
        const changed = takeDecisions(answer.data);
        if (changed.length && at("filter-decision").value) drawList();
      }
    } catch { /* told when something is to be saved */ }
  }

  async function issue() {
    const button = at("issue");
    button.disabled = true;
    at("issued").hidden = false;
    at("issued").textContent = "Writing the report …";
    try {
      const answer = await ask("/api/revisions", {});
      if (!answer.ok) throw new Error(reasonOf(answer));
      linkRevision(answer.data.revision, `, ${answer.data.decisions} of ${answer.data.defects} defects decided on`);
    } catch (error) {
      at("issued").hidden = true;
      complain(`The report was not issued: ${error.message}`);
    } finally {
      button.disabled = false;
    }
  }

  function linkRevision(number, rest) {
    const link = make("a", `Revision ${number}`);
    link.href = `/revisions/${number}/index.html`;
    link.target = "_blank";
    link.rel = "noopener";
    at("issued").replaceChildren(link, make("span", ` of the report is issued${rest}.`));
    at("issued").hidden = false;
  }

  // Beginning

  function onKey(event) {
    const field = event.target.closest("input, textarea, select, dialog");
    if (event.key === "Escape" && event.target.closest("textarea, select")) { at("defect").focus(); return; }
    if (field || event.ctrlKey || event.metaKey || event.altKey) return;
    const acts = { j: () => step(1), k: () => step(-1), n: nextUndecided, a: () => decide("accept"), r: () => decide("reject"), c: () => decide("reclass"),
      m: () => at("outline").click(), e: () => at("comment").focus() };
    const act = acts[event.key];
    if (act) { event.preventDefault(); act(); }
  }

  function addOptions(select, entries) {
    for (const [value, text] of entries) { const option = make("option", text); option.value = value; select.append(option); }
  }

  async function begin() {
    const answer = await ask("/api/review");
    if (!answer.ok) { complain(reasonOf(answer)); return; }
    const data = answer.data;
    state.defects = data.defects;
    state.structures = data.structures;
    addOptions(at("filter-state"), [...new Set(data.defects.map((one) => one.state))].map((word) => [word, word]));
    addOptions(at("filter-structure"), data.structures.map((name, number) => [String(number), name]));
    takeDecisions(data);
    drawList();
    if (data.revision !== null) linkRevision(data.revision, "");
    const first = state.defects.find((one) => verdictOf(one.id) === "none") || state.defects[0];
    if (first) await show(first.id);
    else at("nothing").hidden = false;
    document.documentElement.dataset.ready = "true";
    if (!reviewer() && first) askReviewer();
  }

  for (const button of document.querySelectorAll("#verdicts [data-verdict]")) button.addEventListener("click", () => decide(button.dataset.verdict));
  for (const select of document.querySelectorAll("#filters select")) {
    select.addEventListener("change", () => {
      drawList();
      if (state.shown.length && !state.shown.some((one) => one.id === state.current)) show(state.shown[0].id);
    });
  }
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  at("outline").addEventListener("click", () => { state.outlined = !state.outlined; drawPicture(); });
  at("picture").addEventListener("load", () => { at("picture").dataset.loading = "false"; });
  at("picture").addEventListener("error", () => { at("picture-note").textContent = "The picture could not be read."; });
  at("change-reviewer").addEventListener("click", askReviewer);
  at("ask-cancel").addEventListener("click", () => at("ask").close());
  at("ask-form").addEventListener("submit", (event) => { event.preventDefault(); setReviewer(at("ask-name").value.trim()); at("ask").close(); });
  at("issue").addEventListener("click", issue);
  document.addEventListener("keydown", onKey);
  document.addEventListener("visibilitychange", refresh);
  setInterval(refresh, REFRESH_MS);
  setReviewer(knownReviewer());
  begin().catch((error) => complain(`The page could not begin: ${error.message}`));
})();
