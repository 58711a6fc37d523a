/**
 * The programs of the profile `lab` of docker-compose.yml, one in each container.
 *   main.ts dns              the name server
 *   main.ts server NAME      a mail server: protected, one or two
 *   main.ts client           the story of the branch office; exit status 1 when a step goes wrong
 *   main.ts client SERVER FROM TO    one message, by the server that the PC has chosen: protected, one or two
 */
import { startDnsZone } from "../../test/support/dns-zone.ts";
import { sendBy } from "./client.ts";
import { startMailServer } from "./server.ts";
import { tellStory } from "./story.ts";
import { arrivals, domains, findWorld, zoneOf } from "./world.ts";

const print = (line: string): void => console.log(line);
const [role, name = "", ...words] = process.argv.slice(2);
const everywhere = "0.0.0.0";

if (role === "dns") {
  const zone = zoneOf(await findWorld(["lab-protected", "lab-one", "lab-two"]));
  await startDnsZone(zone, { address: everywhere, port: 53 });
  print(`the name server knows ${Object.keys(zone).join(", ")}`);
} else if (role === "server" && isServer(name)) {
  const server = { name: `mail.${domains[name]}`, address: everywhere };
  await startMailServer(server, { arrivals, print });
  print(`${server.name} waits for mail`);
} else if (role === "client" && name === "") {
  process.exit((await tellStory({ world: await findWorld(), print })) === 0 ? 0 : 1);
} else if (role === "client" && isServer(name) && words.length === 2) {
  const [from = "", to = ""] = words;
  const world = await findWorld();
  const said = await sendBy(world.servers[name].address, { from, to, subject: "Hello" }, world);
  print(said.greeting === "" ? "the connection was closed without a greeting" : said.greeting);
  print(said.reply);
} else {
  console.error("dns | server protected|one|two | client [protected|one|two FROM TO]");
  process.exit(2);
}

function isServer(word: string): word is keyof typeof domains {
  return Object.hasOwn(domains, word);
}
