(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("measured").textContent);
  const plot = document.getElementById("front");
  const panel = document.getElementById("read");
  let kept = plot.querySelector(`.point[data-i="${plot.dataset.first}"]`);

  const element = (name, text, inside) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (inside) inside.append(made);
    return made;
  };

  const line = (table, cells) => {
    const row = element("tr", undefined, table);
    cells.forEach((cell, i) => element(i ? "td" : "th", cell, row));
  };

  // Slots as a table: a line for each stage, a column for each kind of slot.
  const archTable = (values) => {
    const stages = new Map();
    const kinds = new Set();
    data.slots.forEach((slot, i) => {
      const parts = slot.split(".");
      const kind = /^(width|op|bands)$/.test(parts[parts.length - 1]) ? parts.pop() : "width";
      const stage = parts.join(".");
      kinds.add(kind);
      if (!stages.has(stage)) stages.set(stage, {});
      stages.get(stage)[kind] = values[i];
    });
    const table = element("table");
    line(table, ["stage", ...kinds]);
    for (const [stage, of] of stages) {
      line(table, [stage, ...[...kinds].map((kind) => String(of[kind] ?? ""))]);
    }
    return table;
  };

  const show = (mark) => {
    plot.querySelectorAll(".shown").forEach((one) => one.classList.remove("shown"));
    panel.replaceChildren();
    panel.hidden = false;
    element("p", "Point at a mark to read its generator; click or press Enter to keep it.", panel);
    if (!mark) return;
    mark.classList.add("shown");
    const [costs, scores, values] = data.points[Number(mark.dataset.i)];
    const figures = element("table", undefined, panel);
    data.costs.forEach((name, i) => line(figures, [name, costs[i]]));
    data.scores.forEach((name, i) => line(figures, [name, scores[i]]));
    panel.append(archTable(values));
  };

  const markOf = (event) => event.target.closest("[data-i]");
  plot.addEventListener("pointerover", (event) => {
    const mark = markOf(event);
    if (mark) show(mark);
  });
  plot.addEventListener("pointerleave", () => show(kept));
  plot.addEventListener("focusin", (event) => show(markOf(event)));
  plot.addEventListener("focusout", () => show(kept));
  plot.addEventListener("click", (event) => {
    kept = markOf(event);
    show(kept);
  });
  plot.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      kept = markOf(event);
      show(kept);
    } else if (event.key === "Escape") {
      kept = null;
      show(null);
    }
  });
  show(kept);
})();
