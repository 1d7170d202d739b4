// A chat model behind OpenAI's interface: `node shim.mjs MODEL.gguf PORT THREADS CONTEXT`.
//
// It holds one sequence: a request is answered at a time, as its broker knows by `slots = 1`.

import http from "node:http";
import {getLlama, LlamaChatSession} from "node-llama-cpp";

const [path, port, threads, context] = process.argv.slice(2);
const state = {progress: 0, model: null, sequence: null, answered: 0, abandoned: 0};

const server = http.createServer((request, response) => {
    handle(request, response).catch((error) => {
        if (!response.headersSent) send(response, 500, failure(String(error)));
        else response.destroy();
    });
});
server.listen(Number(port), "127.0.0.1");

const llama = await getLlama({gpu: false, build: "never", maxThreads: Number(threads)});
state.model = await llama.loadModel({
    modelPath: path,
    useMmap: false,
    onLoadProgress: (progress) => { state.progress = progress; },
});
const made = await state.model.createContext({
    contextSize: Number(context),
    threads: Number(threads),
});
state.sequence = made.getSequence();

async function handle(request, response) {
    if (request.url === "/health") {
        const {progress} = state;
        const status = state.sequence ? "ok" : "loading";
        return send(response, state.sequence ? 200 : 503, {status, progress});
    }
    if (request.url === "/counts") {
        return send(response, 200, {answered: state.answered, abandoned: state.abandoned});
    }
    if (request.method !== "POST" || request.url !== "/v1/chat/completions") {
        return send(response, 404, failure(`no ${request.url}`));
    }
    let text = "";
    for await (const chunk of request) text += chunk;
    return chat(JSON.parse(text), response);
}

async function chat(body, response) {
    const history = body.messages.slice(0, -1).map(turn);
    const last = body.messages.at(-1);
    await state.sequence.clearHistory();
    const session = new LlamaChatSession({contextSequence: state.sequence});
    session.setChatHistory(history);
    const gone = new AbortController();
    response.on("close", () => { if (!response.writableFinished) gone.abort(); });
    const head = {
        id: `chatcmpl-${state.answered}`,
        created: Math.floor(Date.now() / 1000),
        model: body.model,
    };
    const stream = body.stream === true;
    if (stream) response.writeHead(200, {"content-type": "text/event-stream"});
    const event = (delta, finish_reason = null) => {
        const object = "chat.completion.chunk";
        const data = {...head, object, choices: [{index: 0, delta, finish_reason}]};
        response.write(`data: ${JSON.stringify(data)}\n\n`);
    };
    if (stream) event({role: "assistant", content: ""});
    const before = state.sequence.tokenMeter.getState();
    const answer = await session.promptWithMeta(last.content, {
        maxTokens: body.max_tokens ?? body.max_completion_tokens,
        temperature: body.temperature ?? 0.8,
        signal: gone.signal,
        stopOnAbortSignal: true,
        onTextChunk: (content) => { if (stream) event({content}); },
    });
    session.dispose({disposeSequence: false});
    if (gone.signal.aborted) {
        state.abandoned += 1;
        return;
    }
    state.answered += 1;
    const finish_reason = answer.stopReason === "maxTokens" ? "length" : "stop";
    if (stream) {
        event({}, finish_reason);
        response.end("data: [DONE]\n\n");
        return;
    }
    const used = state.sequence.tokenMeter.diff(before);
    const usage = {
        prompt_tokens: used.usedInputTokens,
        completion_tokens: used.usedOutputTokens,
        total_tokens: used.usedInputTokens + used.usedOutputTokens,
    };
    const message = {role: "assistant", content: answer.responseText};
    const choices = [{index: 0, message, finish_reason}];
    send(response, 200, {...head, object: "chat.completion", choices, usage});
}

function turn({role, content}) {
    if (role === "assistant") return {type: "model", response: [content]};
    return {type: role === "system" ? "system" : "user", text: content};
}

function failure(message) {
    return {error: {message, type: "invalid_request_error", param: null, code: null}};
}

function send(response, status, body) {
    const text = JSON.stringify(body);
    const length = Buffer.byteLength(text);
    response.writeHead(status, {"content-type": "application/json", "content-length": length});
    response.end(text);
}
