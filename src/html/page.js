"use strict";
(() => {
  const cases = [...document.querySelectorAll(".case")];
  const mechanisms = [...document.querySelectorAll(".mechanism")];
  const bar = document.getElementById("the-filters");

  // What a link leads to is opened, whatever it is folded in.
  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let e = target; e; e = e.parentElement) {
      if (e.tagName === "DETAILS") e.open = true;
      if (e.hidden) e.hidden = false;
    }
    target.scrollIntoView();
  };
  addEventListener("hashchange", open);
  if (location.hash) open();
  if (!bar || !cases.length) return;

  const make = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const text = make("input", { type: "search", placeholder: "quiz1, EAGAIN, tcp_check_req …" });
  // What a case is called, what it says of itself, and what its results say; read when it is asked for.
  const read = new Map();
  const words = (c) => {
    if (!read.has(c)) {
      const parts = c.querySelectorAll(":scope > .claims, .result > p, .result > pre, .result > .wrong");
      read.set(c, [c.id, ...[...parts].map((p) => p.textContent)].join("\n").toLowerCase());
    }
    return read.get(c);
  };
  const word = make("select", {}, make("option", { value: "" }, "any result"));
  for (const [key, name] of [["f", "FAIL"], ["e", "error"], ["k", "known bug"], ["n", "not run"], ["p", "skip"], ["o", "ok"]]) {
    const count = cases.filter((c) => c.querySelector(":scope > summary .chip." + key)).length;
    if (count) word.append(make("option", { value: key }, name + " (" + count + " cases)"));
  }
  const shown = make("output", {});
  const fold = (to) => () => {
    for (const m of mechanisms) m.open = to;
    if (!to) for (const c of cases) c.open = false;
  };
  const filter = () => {
    const wanted = text.value.trim().toLowerCase();
    const of = word.value;
    let left = 0;
    for (const c of cases) {
      const named = !wanted || words(c).includes(wanted);
      c.hidden = !(named && (!of || c.querySelector(":scope > summary .chip." + of)));
      if (!c.hidden) left += 1;
    }
    for (const m of mechanisms) {
      m.hidden = !m.querySelector(".case:not([hidden])");
      if (wanted || of) m.open = !m.hidden;
      for (const row of m.querySelectorAll(":scope > .scroll tbody tr")) {
        const link = row.querySelector("th a");
        const c = link && document.getElementById(decodeURIComponent(link.hash.slice(1)));
        row.hidden = Boolean(c && c.hidden);
      }
    }
    shown.value = wanted || of ? left + " of " + cases.length + " cases" : "";
  };
  text.addEventListener("input", filter);
  word.addEventListener("change", filter);
  bar.append(
    make("label", {}, "Cases with the words", text),
    make("label", {}, "with the result", word),
    make("button", { type: "button", onclick: fold(true) }, "Unfold mechanisms"),
    make("button", { type: "button", onclick: fold(false) }, "Fold everything"),
    shown,
  );
  bar.hidden = false;
})();
