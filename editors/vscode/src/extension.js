// The client: starts `circuitspec lsp` and hands it every `.circuit` file. All else is the server's.

const { workspace, window } = require("vscode");
const { LanguageClient, TransportKind } = require("vscode-languageclient/node");

let client;

async function activate() {
  const [command, ...args] = workspace.getConfiguration("circuitspec").get("command");
  const server = { command, args, transport: TransportKind.stdio };
  const documents = { documentSelector: [{ language: "circuitspec" }] };
  client = new LanguageClient("circuitspec", "circuitspec", server, documents);
  try {
    await client.start();
  } catch (error) {
    const message = `circuitspec: cannot start \`${[command, ...args].join(" ")}\`: ${error.message}`;
    const hint = "Install it with: pip install 'circuitspec[lsp]'";
    window.showErrorMessage(`${message}. ${hint}, or set circuitspec.command.`);
  }
}

function deactivate() {
  return client && client.isRunning() ? client.stop() : undefined;
}

module.exports = { activate, deactivate };
