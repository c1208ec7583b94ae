"use strict";
(function () {
  const byId = (id) => document.getElementById(id);
  const table = byId("structures");
  const rows = Array.from(table.tBodies[0].rows);
  const parse = (id) => JSON.parse(byId(id).textContent);

  /* The table sorts by its headings. What has no value comes last in either order; equals keep the order of numbers. */
  function valueOf(row, column, kind) {
    // A row without figures has one wide cell in their place.
    const wide = Array.from(row.cells).some((cell) => cell.colSpan > 1);
    if (wide && column > 2) return null;
    const cell = row.cells[column];
    if (kind === "text") return cell.textContent.trim();
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  }

  function sortBy(heading, column) {
    const falling = heading.getAttribute("aria-sort") === "ascending" || (!heading.hasAttribute("aria-sort") && heading.dataset.first === "descending");
    const sign = falling ? -1 : 1, kind = heading.dataset.sort;
    const compare = kind === "text" ? (a, b) => a.localeCompare(b, undefined, { numeric: true }) : (a, b) => a - b;
    const keyed = rows.map((row) => ({ row, key: valueOf(row, column, kind) }));
    keyed.sort((a, b) => {
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
      return sign * compare(a.key, b.key);
    });
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
    table.tBodies[0].append(...keyed.map((one) => one.row));
  }

  Array.from(table.tHead.rows[0].cells).forEach((heading, column) => {
    if (!heading.dataset.sort) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.textContent = heading.textContent;
    heading.dataset.first = column > 1 && column !== 3 ? "descending" : "ascending";
    heading.replaceChildren(button);
    button.addEventListener("click", () => sortBy(heading, column));
  });
  byId("sort-caption").hidden = false;

  /* The filter holds for the table and for the map. */
  const fold = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const searched = rows.map((row) => fold(row.cells[1].textContent + " " + row.dataset.id));
  const matches = {
    "": () => true,
    crack: (row) => Number(row.dataset.cracks) > 0,
    rust: (row) => Number(row.dataset.rust) > 0,
    none: (row) => row.dataset.seen === "1" && Number(row.dataset.cracks) + Number(row.dataset.rust) === 0,
  };
  let map = null;

  function applyFilter() {
    const words = fold(byId("filter-text").value).split(/\s+/).filter(Boolean);
    const state = byId("filter-state").value, wanted = matches[byId("filter-class").value];
    let count = 0;
    rows.forEach((row, index) => {
      const shown = words.every((word) => searched[index].includes(word)) && (!state || row.dataset.state === state) && wanted(row);
      row.hidden = !shown;
      count += shown ? 1 : 0;
    });
    const all = rows.length === 1 ? "1 structure" : rows.length + " structures";
    byId("filter-count").textContent = count + " of " + all + " shown" + (map ? " in table and map" : "");
    if (map) map.setShown((index) => !rows[index].hidden);
  }

  let pending = 0;
  byId("filter-text").addEventListener("input", () => {
    clearTimeout(pending);
    pending = setTimeout(applyFilter, 150);
  });
  byId("filter-state").addEventListener("change", applyFilter);
  byId("filter-class").addEventListener("change", applyFilter);
  byId("filter-clear").addEventListener("click", () => {
    byId("filter").reset();
    applyFilter();
    byId("filter-text").focus();
  });
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  byId("filter").hidden = false;

  /* Table and map point at each other. */
  function hoverRow(index) {
    for (const row of table.querySelectorAll("tr.pointed")) row.classList.remove("pointed");
    if (index !== null) rows[index].classList.add("pointed");
  }

  function made(tag, content, className) {
    const element = document.createElement(tag);
    element.textContent = content;
    if (className) element.className = className;
    return element;
  }

  function button(label, action, className) {
    const element = made("button", label, className);
    element.type = "button";
    element.addEventListener("click", action);
    return element;
  }

  function select(index) {
    const row = rows[index], panel = byId("selection"), structure = data.structures[index];
    const head = made("h3", structure.number + " "), state = made("p", "");
    head.append(made("bdi", structure.name));
    state.append(made("span", structure.word, "badge " + structure.css));
    const links = made("p", "", "links");
    links.append(...Array.from(row.querySelectorAll("td.links a"), (link) => link.cloneNode(true)));
    panel.replaceChildren(head, state, made("p", structure.found), links);
    const worst = map.worst(index, 12);
    if (worst.length) {
      panel.append(made("h4", worst.length < Number(row.dataset.cracks) + Number(row.dataset.rust) ? "The " + worst.length + " worst defects" : "Defects"));
      const list = made("ul", "");
      for (const defect of worst) {
        const item = made("li", ""), href = map.defectHref(defect);
        const content = map.defectCard(defect).childNodes;
        const link = made(href ? "a" : "span", "");
        if (href) link.href = href;
        link.append(content[0].firstChild);
        const find = button("Show", () => { map.showDefect(defect); map.highlight(index, defect); }, "small");
        find.setAttribute("aria-label", "Show " + link.textContent + " on the map");
        item.append(link, ...Array.from(content[0].childNodes), content[1], find);
        item.addEventListener("mouseenter", () => map.highlight(index, defect));
        list.append(item);
      }
      panel.append(list);
    }
    panel.append(button("Back to its row", () => (row.querySelector("button.locate") || row.querySelector("a")).focus(), "small"));
    const room = table.parentElement;
    if (room.scrollHeight > room.clientHeight) room.scrollTop = row.offsetTop - room.clientHeight / 2;
    hoverRow(index);
    panel.classList.add("filled");
    map.map.invalidateSize();
    map.highlight(index);
  }

  function locate(index) {
    select(index);
    map.showStructure(index);
    byId("map-section").scrollIntoView({ block: "start" });
    byId("selection").focus({ preventScroll: true });
  }

  let data = null;
  function startMap() {
    data = parse("map-data");
    byId("map-app").hidden = false;
    byId("map-notes").hidden = false;
    byId("static-map").classList.add("replaced");
    map = window.spanscanMap(byId("map"), data, parse("map-pictures"), { hover: hoverRow, select });
    const layers = { imagery: "layer-imagery", mask: "layer-mask", structures: "layer-structures", cracks: "layer-cracks", rust: "layer-rust" };
    for (const [name, id] of Object.entries(layers)) {
      if (byId(id)) byId(id).addEventListener("change", (event) => map.setLayer(name, event.target.checked));
    }
    const slider = byId("mask-opacity");
    const fade = () => {
      byId("mask-opacity-value").textContent = slider.value + " %";
      map.setMaskOpacity(slider.value / 100);
    };
    if (slider) {
      slider.addEventListener("input", fade);
      fade();
    }
    byId("map-home").addEventListener("click", () => { map.home(); map.highlight(null); });
    rows.forEach((row, index) => {
      row.addEventListener("mouseenter", () => map.highlight(index));
      row.addEventListener("mouseleave", () => map.highlight(null));
      row.addEventListener("focusin", () => map.highlight(index));
      if (!data.structures[index].at) return;
      const find = button("Map", () => locate(index), "small locate");
      find.setAttribute("aria-label", "Show " + data.structures[index].name + " on the map");
      row.cells[row.cells.length - 1].append(find);
    });
  }

  if (byId("map-data")) startMap();
  applyFilterCount();
  requestAnimationFrame(() => requestAnimationFrame(() => {
    window.spanscanReady = performance.now();
    document.documentElement.dataset.ready = "true";
  }));

  function applyFilterCount() {
    const all = rows.length === 1 ? "1 structure" : rows.length + " structures";
    byId("filter-count").textContent = rows.length + " of " + all + " shown" + (map ? " in table and map" : "");
  }
})();
