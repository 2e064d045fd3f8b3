import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Model } from '@baton-sdk/core'
import type { ModelChunk, ModelErrorKind, ModelRequest } from '@baton-sdk/core/plugin'
import { abortedError, ModelError, throwIfAborted } from '@baton-sdk/core/plugin'
import type { ScriptedStep } from '@baton-sdk/core/testing'
import { scriptedModel, testModel } from '@baton-sdk/core/testing'
import { describe, it } from 'vitest'

/** A model behind an API of one's own: it takes a request as JSON, and answers with one chunk a line. */
function createHouseModel(url: string): Model {
  async function* read(request: ModelRequest, signal: AbortSignal | undefined, stopped: AbortSignal): AsyncGenerator<ModelChunk> {
    throwIfAborted(signal, 'the call of house/writer')
    try {
      const either = signal ? AbortSignal.any([signal, stopped]) : stopped
      const response = await fetch(url, { method: 'POST', body: JSON.stringify(request), signal: either })
      if (!response.ok || !response.body) {
        const { kind, retryAfterMs } = (await response.json()) as { kind: ModelErrorKind; retryAfterMs?: number }
        throw new ModelError(kind, `house/writer: ${kind}`, { status: response.status, retryAfterMs })
      }
      let chunk: ModelChunk | undefined
      let rest = ''
      for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + text).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) {
          chunk = JSON.parse(line) as ModelChunk
          yield chunk
        }
      }
      if (chunk?.type !== 'finish') throw new ModelError('cut-stream', 'house/writer: the reply broke off')
    } catch (error) {
      if (signal?.aborted) throw abortedError(signal, 'the call of house/writer')
      if (stopped.aborted) return
      throw error instanceof ModelError ? error : new ModelError('network', 'house/writer: the connection failed', { cause: error })
    }
  }
  return {
    id: 'house/writer',
    info: {
      contextWindow: 32_768,
      capabilities: { tools: true, images: false, jsonSchema: false, reasoning: true, fim: false },
      location: 'private',
    },
    generate: (request, { signal }) => ({
      [Symbol.asyncIterator]() {
        const stop = new AbortController()
        const chunks = read(request, signal, stop.signal)
        return {
          next: () => chunks.next(),
          // A reader that gives up while it waits ends the transfer.
          return() {
            stop.abort()
            return chunks.return(undefined)
          },
        }
      },
    }),
  }
}

/** The other side: a server that plays a script. */
async function startHouse(script: readonly ScriptedStep[]) {
  const scripted = scriptedModel(script)
  const server = createServer(async (request, response) => {
    const gone = new AbortController()
    response.on('close', () => gone.abort())
    let body = ''
    for await (const piece of request) body += piece
    try {
      for await (const chunk of scripted.generate(JSON.parse(body), { signal: gone.signal })) response.write(`${JSON.stringify(chunk)}\n`)
      response.end()
    } catch (error) {
      if (!(error instanceof ModelError) || error.kind === 'network' || response.headersSent) response.destroy()
      else response.writeHead(error.status ?? 500).end(JSON.stringify({ kind: error.kind, retryAfterMs: error.retryAfterMs }))
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, scripted, close }
}

describe('createHouseModel', () => {
  testModel(it, {
    async create(script) {
      const { url, scripted, close } = await startHouse(script)
      // A call that was given up before it was sent has ended.
      const ended = async (call: number) => (scripted.requests[call - 1] ? scripted.ended(call) : 'gone')
      return { model: createHouseModel(url), ended, close }
    },
  })
})
