// Sends messages with node-hl7-client over one connection and prints what came back, a line of JSON each.
// Arguments: port, how ("each", "batch" or "file"). Standard input: a JSON list of messages, a string each.
const { Batch, Client, FileBatch, Message } = require("node-hl7-client");

const [port, how] = [Number(process.argv[2]), process.argv[3]];
const texts = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const waiting = how === "each" ? texts.map((text) => new Message({ text })) : [together(how)];

function together(kind) {
  const messages = texts.map((text) => new Message({ text }));
  const made = kind === "file" ? new FileBatch() : new Batch();
  made.start();
  if (kind === "file") {
    const batch = new Batch();
    batch.start();
    messages.forEach((message) => batch.add(message));
    batch.end();
    made.add(batch);
  } else {
    messages.forEach((message) => made.add(message));
  }
  made.end();
  return made;
}

const client = new Client({ host: "127.0.0.1" });
const connection = client.createConnection({ port }, async (answer) => {
  const message = answer.getMessage();
  const read = (position) => message.get(position).toString();
  console.log(JSON.stringify({ code: read("MSA.1"), id: read("MSA.2"), type: read("MSH.9.1") }));
  next();
});
connection.on("client.error", (error) => {
  console.error(String(error));
  process.exitCode = 1;
});

function next() {
  const message = waiting.shift();
  if (message === undefined) {
    void connection.close();
  } else {
    void connection.sendMessage(message);
  }
}

connection.on("connect", next);
