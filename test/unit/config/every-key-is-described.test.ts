import assert from "node:assert/strict";
import { test } from "node:test";
import { editorJsonSchema, type JsonSchema } from "../../../shared/config/json-schema.ts";
import { loadConfig } from "../../../shared/config/load.ts";
import { configurationEntries } from "../../../shared/config/reference.ts";

test("every key has a description, a type and, unless it may be absent, a default", () => {
  const entries = configurationEntries();
  assert.ok(entries.length > 100);
  for (const { path, type, byDefault, description } of entries) {
    assert.ok(description.length > 3 && description.endsWith("."), `${path} has no description`);
    assert.notEqual(type, "", `${path} has no type`);
    const isOptional = /absent|mapping/i.test(`${description} ${type}`) || /^(redis)\./.test(path);
    assert.ok(
      byDefault !== "" || isOptional,
      `${path} has no default and does not say what its absence means`,
    );
  }
});

test("the editor's schema lets a variable stand for any value that is not plain text", () => {
  const listener = editorJsonSchema().properties?.listeners?.items;
  const forms = (schema: JsonSchema | undefined) =>
    schema?.anyOf?.map((form) => form.$ref ?? form.type ?? form.enum);
  assert.deepEqual(forms(listener?.properties?.port), ["integer", "#/$defs/variable"]);
  assert.deepEqual(forms(listener?.properties?.shadow), ["boolean", "#/$defs/variable"]);
  assert.equal(listener?.additionalProperties, false);
  assert.deepEqual(listener?.required, ["name", "port"]);
});

test("the committed postern.yaml is right, and listens on loopback only", () => {
  const loaded = loadConfig({
    file: "postern.yaml",
    env: {},
    cwd: new URL("../../..", import.meta.url).pathname,
  });
  assert.ok(loaded.kind === "ok", JSON.stringify(loaded));
  const { listeners, admin } = loaded.config;
  assert.deepEqual(
    listeners.map(({ address, port, destination }) => [address, port, destination]),
    [["127.0.0.1", 2525, "self"]],
  );
  assert.deepEqual([admin.address, admin.port], ["127.0.0.1", 8025]);
});
