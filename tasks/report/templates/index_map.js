"use strict";
/* The survey's map. All names come in as text and are set as text. */
window.spanscanMap = function (element, data, pictures, handlers) {
  const COLOURS = ["#0072b2", "#8a5a00"];
  const FILLS = {
    "sev-1": "#a9d1ea", "sev-2": "#ffdf80", "sev-3": "#d2602a", "sev-4": "#8a1c4b", "sev-none": "#ffffff", "sev-unseen": "#6b7580",
  };
  const KINDS = ["crack", "rust"];
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;

  function text(tag, content, className) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.textContent = content;
    return made;
  }

  function point(x, y) {
    return L.latLng(data.origin[1] + y, data.origin[0] + x);
  }

  /* x₀, y₀, Δx, Δy, … in steps from the origin. One point alone becomes a dot. */
  function decode(path) {
    let x = 0, y = 0;
    const points = [];
    for (let i = 0; i < path.length; i += 2) {
      x += path[i];
      y += path[i + 1];
      points.push(point(x * data.step, y * data.step));
    }
    if (points.length === 1) points.push(point((x + 1) * data.step, y * data.step));
    return points;
  }

  function box(bounds) {
    return L.latLngBounds([bounds[1], bounds[0]], [bounds[3], bounds[2]]);
  }

  /* Lines with a casing, so that they are seen on light and on dark ground alike; where many are small, without. */
  let crowded = false;
  const CasedCanvas = L.Canvas.extend({
    _fillStroke: function (context, layer) {
      const options = layer.options, weight = options.weight;
      if (crowded && layer.defect !== undefined) {
        options.weight = 1;
      } else {
        context.globalAlpha = 0.85;
        context.lineWidth = weight + 2;
        context.strokeStyle = options.casing;
        context.lineCap = context.lineJoin = "round";
        context.stroke();
      }
      L.Canvas.prototype._fillStroke.call(this, context, layer);
      options.weight = weight;
    },
    _onZoomEnd: function () {
      crowded = isCrowded();
      L.Canvas.prototype._onZoomEnd.call(this);
    },
  });

  const RoundScale = L.Control.Scale.extend({
    _updateMetric: function (most) {
      const power = Math.pow(10, Math.floor(Math.log10(most)));
      const size = [5, 2, 1].find((step) => step * power <= most * (1 + 1e-9)) * power;
      const units = size >= 1000 ? [1000, "km"] : size >= 1 ? [1, "m"] : size >= 0.01 ? [0.01, "cm"] : [0.001, "mm"];
      this._updateScale(this._mScale, Number((size / units[0]).toPrecision(3)) + " " + units[1], size / most);
    },
  });

  const map = L.map(element, {
    crs: L.CRS.Simple, preferCanvas: true, attributionControl: false, zoomSnap: 0.25, zoomDelta: 1, minZoom: -20,
    wheelPxPerZoomLevel: 90, maxZoom: data.maxZoom, scrollWheelZoom: false, zoomAnimation: !calm, fadeAnimation: !calm, inertia: !calm,
    maxBoundsViscosity: 0.7,
  });
  const whole = box(data.bounds);
  map.on("focus", () => map.scrollWheelZoom.enable());
  map.on("blur", () => map.scrollWheelZoom.disable());
  new RoundScale({ imperial: false, maxWidth: 140 }).addTo(map);
  map.createPane("imagery").style.zIndex = 240;
  map.createPane("masks").style.zIndex = 250;
  map.createPane("marks").style.zIndex = 450;
  map.getPane("marks").style.pointerEvents = "none";
  const marks = L.svg({ pane: "marks", padding: 0.3 });
  const canvas = new CasedCanvas({ padding: 0.3, tolerance: 5 });

  const imagery = L.layerGroup(), masks = L.layerGroup(), names = L.layerGroup();
  const overlays = [];
  for (const picture of pictures) {
    const bounds = box(picture.bounds);
    L.imageOverlay(picture.imagery, bounds, { alt: "", pane: "imagery", className: "imagery" }).addTo(imagery);
    overlays.push(L.imageOverlay(picture.mask, bounds, { alt: "", pane: "masks", className: "mask" }).addTo(masks));
    if (picture.local) {
      const icon = L.divIcon({ className: "raster-name", html: text("span", picture.name), iconSize: null });
      L.marker(bounds.getNorthWest(), { icon, interactive: false, keyboard: false, pane: "marks" }).addTo(names);
    }
  }

  /* Structures: an outline each, and a number where there is room. */
  const areas = L.featureGroup();
  const structures = data.structures.map((structure, index) => {
    const area = L.polygon(structure.paths.map(decode), {
      renderer: canvas, color: FILLS[structure.css], weight: 2.5, casing: "#17202a", fillColor: FILLS[structure.css], fillOpacity: 0.1,
      dashArray: structure.css === "sev-unseen" ? "5 4" : null, bubblingMouseEvents: false,
    });
    area.structure = index;
    let tag = null;
    if (structure.at) {
      const html = text("span", String(structure.number), structure.css);
      const icon = L.divIcon({ className: "tag", html, iconSize: null });
      tag = L.marker(point(structure.at[0], structure.at[1]), { icon, keyboard: false, bubblingMouseEvents: false });
      tag.structure = index;
    }
    return { area, tag, shown: structure.at !== null, defects: [] };
  });
  const byRank = data.structures.map((_, index) => index).sort((a, b) => data.structures[b].rank - data.structures[a].rank);

  /* Defects: the worst come last and so lie on top. */
  const groups = [L.featureGroup(), L.featureGroup()];
  const found = data.defects;
  const defects = found.ids.map((_, index) => {
    const kind = found.classes[index];
    const make = kind === 0 ? L.polyline : L.polygon;
    const layer = make(found.paths[index].map(decode), {
      renderer: canvas, color: COLOURS[kind], weight: kind === 0 ? 2.5 : 1.5, casing: "#ffffff", fillOpacity: 0.35,
      bubblingMouseEvents: false,
    });
    layer.defect = index;
    const owner = structures[found.structures[index]];
    if (owner) owner.defects.push(index);
    return layer;
  });

  /* Length on the map of a middling defect. */
  const sizes = defects.map((layer) => {
    const bounds = layer.getBounds();
    return bounds.isValid() ? Math.max(bounds.getEast() - bounds.getWest(), bounds.getNorth() - bounds.getSouth()) : 0;
  }).sort((a, b) => a - b);
  function isCrowded() {
    return sizes.length > 1000 && sizes[sizes.length >> 1] * Math.pow(2, map.getZoom()) < 14;
  }

  function defectHref(index) {
    const href = data.structures[found.structures[index]].href;
    if (!href) return null;
    return href + (found.numbers[index] <= data.pictured ? "#defect-" + found.numbers[index] : "#all");
  }

  function defectCard(index) {
    const state = data.states[found.states[index]];
    const card = text("div", "", "card");
    const head = text("p", "", "card-head");
    head.append(text("b", found.ids[index]), " " + KINDS[found.classes[index]] + " ", text("span", state.word, "badge " + state.css));
    const owner = text("p", "", "place");
    owner.append(text("bdi", data.structures[found.structures[index]].name));
    card.append(head, text("p", found.texts[index], "card-size"), owner);
    return card;
  }

  function structureCard(index) {
    const structure = data.structures[index];
    const card = text("div", "", "card"), head = text("p", "", "card-head");
    head.append(text("b", String(structure.number)), " ", text("bdi", structure.name), " ", text("span", structure.word, "badge " + structure.css));
    card.append(head, text("p", structure.found, "card-size"));
    return card;
  }

  function open(index, event) {
    const href = defectHref(index);
    if (!href) return;
    if (event.ctrlKey || event.metaKey) window.open(href, "_blank", "noopener");
    else window.location.assign(href);
  }

  function popup(index, at) {
    const card = defectCard(index), href = defectHref(index);
    if (href) {
      const link = text("a", "Open in its report");
      link.href = href;
      card.append(link);
    }
    L.popup({ autoPanPadding: [20, 20] }).setLatLng(at).setContent(card).openOn(map);
  }

  /* One tooltip for all, beside the pointer and within the window, so that the map's edge cuts none. */
  const tip = text("div", "", "map-tip");
  tip.id = "map-tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;
  document.body.append(tip);

  function moveTip(event) {
    const x = event.originalEvent.clientX, y = event.originalEvent.clientY, room = 10;
    const left = Math.min(Math.max(x - tip.offsetWidth / 2, room), document.documentElement.clientWidth - tip.offsetWidth - room);
    const above = y - tip.offsetHeight - 16;
    tip.style.left = Math.max(left, 0) + "px";
    tip.style.top = (above > room ? above : y + 22) + "px";
  }

  function pointAt(event, card, structure, defect) {
    tip.replaceChildren(card);
    tip.hidden = false;
    moveTip(event);
    highlight(structure, defect);
    handlers.hover(structure);
  }

  function leave() {
    tip.hidden = true;
    highlight(null);
    handlers.hover(null);
  }

  for (const group of [areas, ...groups]) {
    group.on("mousemove", moveTip);
    group.on("mouseout", leave);
  }
  for (const group of groups) {
    group.on("mouseover", (event) => {
      const index = event.layer.defect;
      pointAt(event, defectCard(index), found.structures[index], index);
    });
    group.on("click", (event) => {
      const index = event.layer.defect;
      if (event.originalEvent.pointerType === "touch") popup(index, event.latlng);
      else open(index, event.originalEvent);
    });
  }
  areas.on("mouseover", (event) => pointAt(event, structureCard(event.layer.structure), event.layer.structure));
  areas.on("click", (event) => handlers.select(event.layer.structure));
  map.on("movestart zoomstart", () => { tip.hidden = true; });

  const on = { imagery: true, mask: true, structures: true, cracks: true, rust: true };

  function toggle(layer, wanted) {
    if (wanted && !map.hasLayer(layer)) map.addLayer(layer);
    if (!wanted && map.hasLayer(layer)) map.removeLayer(layer);
  }

  /* Numbers of structures, the worst first, as many as do not lie on each other. */
  function placeTags() {
    const taken = new Set(), view = map.getBounds().pad(0.05), cell = 9;
    for (const index of byRank) {
      const entry = structures[index];
      if (!entry.tag) continue;
      let wanted = on.structures && entry.shown && view.contains(entry.tag.getLatLng());
      if (wanted) {
        const at = map.latLngToLayerPoint(entry.tag.getLatLng());
        const half = 8 + 4.5 * String(data.structures[index].number).length, cells = [];
        for (let x = Math.floor((at.x - half) / cell); x <= Math.floor((at.x + half) / cell); x++)
          for (let y = Math.floor((at.y - 11) / cell); y <= Math.floor((at.y + 11) / cell); y++) cells.push(x + ":" + y);
        wanted = !cells.some((one) => taken.has(one));
        if (wanted) cells.forEach((one) => taken.add(one));
      }
      if (wanted && !areas.hasLayer(entry.tag)) areas.addLayer(entry.tag);
      if (!wanted && areas.hasLayer(entry.tag)) areas.removeLayer(entry.tag);
    }
  }

  function refresh() {
    toggle(imagery, on.imagery);
    toggle(masks, on.mask);
    toggle(names, on.imagery || on.mask);
    for (const group of [areas, ...groups]) toggle(group, false);
    areas.clearLayers();
    structures.forEach((entry) => {
      if (entry.shown && data.structures[entry.area.structure].paths.length) areas.addLayer(entry.area);
    });
    groups.forEach((group) => group.clearLayers());
    defects.forEach((layer, index) => {
      if (structures[found.structures[index]].shown) groups[found.classes[index]].addLayer(layer);
    });
    toggle(areas, on.structures);
    toggle(groups[1], on.rust);
    toggle(groups[0], on.cracks);
    placeTags();
  }

  let mark = null;
  function highlight(index, defect) {
    if (mark) mark.remove();
    mark = null;
    const lines = defect !== undefined ? found.paths[defect] : index !== null ? data.structures[index].paths : [];
    if (lines.length) {
      const make = defect !== undefined && found.classes[defect] === 0 ? L.polyline : L.polygon;
      mark = make(lines.map(decode), { renderer: marks, interactive: false, color: "#d6006c", weight: 4, fill: false }).addTo(map);
    }
  }

  function show(layer, most) {
    const bounds = layer.getBounds();
    if (bounds.isValid()) map.fitBounds(bounds, { padding: [40, 40], maxZoom: most, animate: false });
  }

  map.fitBounds(whole, { padding: [16, 16], animate: false });
  map.setMinZoom(map.getZoom() - 2);
  map.setMaxBounds(whole.pad(0.6));
  map.on("moveend zoomend", placeTags);
  crowded = isCrowded();
  refresh();

  return {
    map, highlight, defectHref,
    home: () => map.fitBounds(whole, { padding: [16, 16], animate: false }),
    showStructure: (index) => show(structures[index].area, data.maxZoom),
    showDefect: (index) => show(defects[index], data.maxZoom - 1),
    /* The worst defects of a structure, in the order of its report. */
    worst: (index, most) => structures[index].defects.slice().sort((a, b) => found.numbers[a] - found.numbers[b]).slice(0, most),
    defectCard,
    setLayer: (name, wanted) => { on[name] = wanted; refresh(); },
    setMaskOpacity: (share) => overlays.forEach((overlay) => overlay.setOpacity(share)),
    setShown: (isShown) => { structures.forEach((entry, index) => { entry.shown = isShown(index); }); refresh(); },
  };
};
