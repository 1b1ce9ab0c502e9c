"use strict";
// The form of a signature: a field for each input, made from its name, dtype and shape.

// What people know as a slider: [least, most, step], by the end of the input's name. The input's bounds may be narrower.
const RANGES = { temperature: [0, 2, 0.05], top_p: [0, 1, 0.01], probability: [0, 1, 0.01], threshold: [0, 1, 0.01] };
const MOST_STEPS = 2000; // of a slider of integers: more could not be chosen one by one

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children); // text, never markup: a model's words are not trusted
  return made;
}

function kindOf(input) {
  if (input.shape === null || input.shape.length === 0) return "data";
  if (input.shape.length === 2 && input.shape[1] === null && input.dtype === "string") return "list";
  if (picturesOf(input)) return "picture";
  if (input.shape.length > 1) return "data";
  if (input.dtype === "string") return input.name.endsWith("_bytes") ? "file" : "text";
  if (input.dtype === "bool") return "check";
  return rangeOf(input) ? "slider" : "number";
}

const isFloat = ({ dtype }) => dtype.includes("float");

// [least, most, step] of the slider of a number, or null if a slider does not suit it.
function rangeOf(input) {
  const [low, high] = input.values;
  const end = Object.keys(RANGES).find((text) => input.name.endsWith(text));
  if (end && isFloat(input)) {
    const [min, max, step] = RANGES[end];
    return [Math.ceil(Math.max(low ?? min, min) / step) * step, Math.min(high ?? max, max), step];
  }
  if (low === null || high === null || high - low > MOST_STEPS || low === high) return null;
  return [low, high, isFloat(input) ? (high - low) / 100 : 1];
}

function kindText(input) {
  const sizes = kindOf(input) === "list" ? "" : (input.shape ?? []).slice(1).map((size) => size ?? "any").join(" × ");
  const shape = input.shape === null ? "any shape" : sizes;
  return [input.dtype, shape, input.limits].filter(Boolean).join(", ");
}

// Throws an Error if a number is out of the input's bounds, which the model would refuse.
function checkNumber(input, number) {
  const [low, high] = input.values;
  if ((low !== null && number < low) || (high !== null && number > high)) {
    throw new Error(`${input.name} must be ${input.limits}.`);
  }
}

// The same for the bytes of a text.
function checkText(input, text) {
  const length = new TextEncoder().encode(text).length;
  if (input.max_bytes !== null && length > input.max_bytes) {
    throw new Error(`${input.name} must have at most ${input.max_bytes} bytes, but has ${length}.`);
  }
}

// Tells the page that a field has another value, where no `input` event does.
function announce(node) {
  node.dispatchEvent(new Event("ready", { bubbles: true }));
}

// Each maker returns {nodes, get, set}: `get` gives the JSON of one row, and throws an Error for what is none.
const MAKERS = {
  text(input, id) {
    const area = element("textarea", { id, rows: 3, spellcheck: false });
    const get = () => {
      checkText(input, area.value);
      return JSON.stringify(area.value);
    };
    return { nodes: [area], get, set: (value) => (area.value = plain(value)) };
  },

  // Any number of texts, which may have line breaks.
  list(input) {
    const items = element("div", { className: "items", role: "group", ariaLabel: input.name });
    const add = element("button", { type: "button", className: "plain", ariaLabel: `Add to ${input.name}` }, "Add");
    const areas = () => [...items.querySelectorAll("textarea")];
    const update = () => {
      areas().forEach((area, index) => { area.ariaLabel = `${input.name} ${index + 1}`; });
      add.disabled = input.max_size !== null && areas().length >= input.max_size;
    };
    const append = (value) => {
      const area = element("textarea", { rows: 1, spellcheck: false, value });
      const remove = element("button", { type: "button", className: "plain", ariaLabel: "Remove" }, "×");
      const item = element("div", { className: "item" }, area, remove);
      remove.addEventListener("click", () => { item.remove(); update(); announce(add); });
      items.append(item);
      update();
      return area;
    };
    add.addEventListener("click", () => { append("").focus(); announce(add); });
    const get = () => {
      const texts = areas().map((area) => area.value);
      texts.forEach((text) => checkText(input, text));
      return JSON.stringify(texts);
    };
    const set = (value) => { items.replaceChildren(); value.map(plain).forEach(append); };
    return { nodes: [items, element("p", {}, add)], get, set };
  },

  number(input, id) {
    const whole = !isFloat(input);
    const value = String(Math.max(0, input.values[0] ?? 0));
    const box = element("input", { id, type: "text", inputMode: whole ? "numeric" : "decimal", value });
    const get = () => {
      const text = box.value.trim();
      const wanted = whole ? /^-?\d+$/ : /^-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;
      if (!wanted.test(text)) throw new Error(`${input.name} must be a ${whole ? "whole " : ""}number.`);
      checkNumber(input, Number(text));
      // As it was typed: JavaScript would round integers beyond 2^53.
      return whole ? text.replace(/^(-?)0+(?=\d)/, "$1") : JSON.stringify(Number(text));
    };
    return { nodes: [box], get, set: (value) => (box.value = String(value)) };
  },

  slider(input, id) {
    const [min, max, step] = rangeOf(input);
    const number = MAKERS.number(input, id);
    const box = number.nodes[0];
    box.value = String(Math.min(Math.max(1, min), max));
    const bar = element("input", { type: "range", min, max, step, value: box.value, ariaLabel: `${input.name}, slider` });
    bar.addEventListener("input", () => { box.value = bar.value; });
    box.addEventListener("input", () => { bar.value = box.value; });
    const set = (value) => { number.set(value); bar.value = value; };
    return { nodes: [element("div", { className: "slider" }, bar, box)], get: number.get, set };
  },

  check(input, id) {
    const box = element("input", { id, type: "checkbox" });
    return { nodes: [box], get: () => JSON.stringify(box.checked), set: (value) => (box.checked = Boolean(value)) };
  },

  file(input, id) {
    let bytes = null;
    const preview = element("div", { className: "preview" });
    const chooser = element("input", { id, type: "file" });
    if (/image|picture|photo/.test(input.name)) chooser.accept = "image/*";
    if (/audio|sound|speech|wav/.test(input.name)) chooser.accept = "audio/*";
    const show = (name) => {
      const note = element("p", { className: "kind" }, name ? `${name}, ${size(bytes)}` : `The example, ${size(bytes)}`);
      preview.replaceChildren(...media(bytes, input.name), note);
    };
    chooser.addEventListener("change", async () => {
      if (!chooser.files.length) return;
      bytes = toBase64(new Uint8Array(await chooser.files[0].arrayBuffer()));
      show(chooser.files[0].name);
      announce(chooser);
    });
    const get = () => {
      if (bytes === null) throw new Error(`${input.name} needs a file.`);
      return JSON.stringify({ b64: bytes });
    };
    // For the line in a shell: the name of the file in place of its content.
    const file = () => (chooser.files.length ? chooser.files[0].name : null);
    const set = (value) => {
      bytes = value?.b64 ?? toBase64(new TextEncoder().encode(plain(value)));
      chooser.value = "";
      show(null);
    };
    return { nodes: [chooser, preview], get, set, file };
  },

  // A file, whose numbers can be seen and changed below.
  picture(input, id) {
    const wanted = picturesOf(input);
    const numbers = MAKERS.data(input, `${id}-numbers`);
    numbers.nodes[0].ariaLabel = `${input.name}, numbers`;
    const preview = element("div", { className: "preview" });
    const chooser = element("input", { id, type: "file", accept: "image/*" });
    let wrong = null; // the error of the chosen file
    const show = (value) => preview.replaceChildren(picture(value, shapeOf(value), input.name));
    const set = (value) => {
      wrong = null;
      numbers.set(value);
      show(value);
    };
    chooser.addEventListener("change", async () => {
      if (!chooser.files.length) return;
      try {
        set(await numbersOf(chooser.files[0], input.name, wanted));
      } catch (error) {
        wrong = error;
        preview.replaceChildren(element("p", { className: "error" }, error.message));
      }
      announce(chooser);
    });
    numbers.nodes[0].addEventListener("input", () => { wrong = null; });
    const get = () => {
      if (wrong) throw wrong;
      return numbers.get();
    };
    const folded = element("details", { className: "folded" }, element("summary", {}, "Numbers"), ...numbers.nodes);
    return { nodes: [chooser, preview, folded], get, set: (value) => { chooser.value = ""; set(value); } };
  },

  data(input, id) {
    const area = element("textarea", { id, rows: 3, spellcheck: false, className: "data" });
    const get = () => {
      try {
        JSON.parse(area.value);
      } catch {
        throw new Error(`${input.name} must be JSON, such as [1, 2, 3].`);
      }
      return area.value.trim();
    };
    return { nodes: [area], get, set: (value) => (area.value = JSON.stringify(value)) };
  },
};

function plain(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function makeField(input, number) {
  const kind = kindOf(input);
  const id = `field-${number}`;
  const field = { ...MAKERS[kind](input, id), input, kind };
  // A list has no field of its own name: each of its texts is named by its number.
  const label = kind === "list" ? element("p", { className: "label" }) : element("label", { htmlFor: id });
  label.append(`${input.name} `, element("span", { className: "kind" }, kindText(input)));
  field.node = element("div", { className: "field" }, label, ...field.nodes);
  field.wide = !["number", "slider", "check"].includes(kind);
  return field;
}

function toBase64(bytes) {
  let text = "";
  for (let start = 0; start < bytes.length; start += 32768) {
    text += String.fromCharCode(...bytes.subarray(start, start + 32768));
  }
  return btoa(text);
}
