// A round of interactions with fhir-kit-client; prints one JSON object of what came back.
// Arguments: base URL, bearer token.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [baseUrl, bearerToken] = process.argv.slice(2);
const folder = process.env.NODE_PATH;
const entry = createRequire(`${folder}/`).resolve("./fhir-kit-client/package.json").replace("package.json", "dist/index.js");
const module = await import(pathToFileURL(entry).href);
const Client = module.default ?? module.Client;
const client = new Client({ baseUrl, bearerToken });

const statement = await client.capabilityStatement();
const system = `urn:kit:${Date.now()}`;
const body = { resourceType: "Patient", identifier: [{ system, value: "1" }], name: [{ family: "Κιτ" }] };
const made = await client.create({ resourceType: "Patient", body });
const read = await client.read({ resourceType: "Patient", id: made.id });
const updated = await client.update({ resourceType: "Patient", id: made.id, body: { ...read, gender: "female" } });
const patched = await client.patch({
  resourceType: "Patient",
  id: made.id,
  jsonPatch: [{ op: "replace", path: "/gender", value: "male" }],
});
const first = await client.vread({ resourceType: "Patient", id: made.id, version: "1" });
const conditional = await client.update({
  resourceType: "Patient",
  searchParams: { identifier: `${system}|1` },
  body: { ...body, active: true },
});
const order = await client.create({
  resourceType: "ServiceRequest",
  body: { resourceType: "ServiceRequest", status: "active", intent: "plan", subject: { reference: `Patient/${made.id}` } },
});
const found = await client.search({ resourceType: "Patient", searchParams: { identifier: `${system}|1` } });
const inside = await client.search({
  resourceType: "ServiceRequest",
  compartment: { resourceType: "Patient", id: made.id },
});
const history = await client.resourceHistory({ resourceType: "Patient", id: made.id });
const page = await client.systemHistory({ options: { headers: {} } });
const done = await client.transaction({
  body: {
    resourceType: "Bundle",
    type: "transaction",
    entry: [
      { request: { method: "DELETE", url: `ServiceRequest/${order.id}` } },
      { request: { method: "GET", url: `Patient/${made.id}` } },
    ],
  },
});
await client.delete({ resourceType: "Patient", id: made.id });
let gone = 0;
try {
  await client.read({ resourceType: "Patient", id: made.id });
} catch (error) {
  gone = error.response?.status ?? 0;
}
console.log(
  JSON.stringify({
    version: statement.fhirVersion,
    family: read.name[0].family,
    genders: [updated.gender, patched.gender, first.gender ?? null],
    conditional: [conditional.id === made.id, conditional.active],
    found: found.entry.length,
    inside: inside.entry.map((entry) => entry.resource.id === order.id),
    history: history.entry.map((entry) => entry.request.method),
    page: page.type,
    done: done.entry.map((entry) => entry.response.status),
    gone,
  }),
);
