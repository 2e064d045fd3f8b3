import type { ModelChunk } from '@baton-sdk/core/plugin'
import { ModelError } from '@baton-sdk/core/plugin'
import { failureOf, reportedError, transportError } from './openai-errors.ts'
import type { ServerSentEvent } from './server-sent-events.ts'
import { createEventParser } from './server-sent-events.ts'
import type { JsonObject, ReplyReader, WireConfig } from './wire.ts'
import { isObject } from './wire.ts'

/** How long a server may keep a connection open after a complete reply before it is closed from here. */
const drainMs = 1_000

/**
 * Streams a reply. It ends with its finish, or throws: a stream that ends early is `cut-stream`. Reading on its own terms instead of through the
 * openai package's stream takes a third less processor time, and tells an abort from an end.
 */
export async function* readReply(
  response: Response,
  reader: ReplyReader,
  config: WireConfig,
  transfer: AbortController,
): AsyncGenerator<ModelChunk> {
  if (response.headers.get('content-type')?.includes('application/json')) return yield* readWhole(response, reader, config)
  const parser = createEventParser()
  const decoder = new TextDecoder()
  const out: ModelChunk[] = []
  const body = response.body?.getReader()
  let complete = false
  try {
    while (!complete && body) {
      const { done, value } = await body.read().catch((error: unknown) => {
        if (transfer.signal.aborted) throw error
        return broken(error, reader, config)
      })
      const events = done ? [parser.end()] : parser.feed(decoder.decode(value, { stream: true }))
      for (const event of events) complete = (event !== undefined && takeEvent(event, reader, config, out)) || complete
      yield* out
      out.length = 0
      if (done) break
    }
    const finish = reader.finish()
    if (!finish) throw new ModelError('cut-stream', `${config.id}: cut-stream: the reply ended before it was complete`)
    complete = true
    yield finish
  } finally {
    if (complete && body) void drain(body, transfer)
    else transfer.abort()
  }
}

/** A connection that breaks after the last chunk but before its formal end has lost nothing. */
function broken(error: unknown, reader: ReplyReader, { id }: WireConfig): { done: true; value: undefined } {
  if (reader.finish()) return { done: true, value: undefined }
  const failure = transportError(error, id)
  if (failure instanceof ModelError && failure.kind === 'timeout') throw failure
  throw new ModelError('cut-stream', `${id}: cut-stream: the connection broke in the middle of the reply`, { cause: error })
}

/** Returns whether the reply is complete. */
function takeEvent({ type, data }: ServerSentEvent, reader: ReplyReader, config: WireConfig, out: ModelChunk[]): boolean {
  if (data === '[DONE]') return true
  if (data === '') return false
  const event = parseEvent(data, config)
  if ((event.error !== undefined && event.error !== null) || (type === 'error' && event.type === undefined)) throw reported(event, config)
  return reader.take(event, out)
}

function parseEvent(data: string, { id, redact }: WireConfig): JsonObject {
  let event: unknown
  try {
    event = JSON.parse(data)
  } catch {}
  if (isObject(event)) return event
  const shown = redact(data.length > 200 ? `${data.slice(0, 200)} …` : data)
  throw new ModelError('server', `${id}: server: an event of the stream is no JSON object: ${shown}`)
}

async function* readWhole(response: Response, reader: ReplyReader, config: WireConfig): AsyncGenerator<ModelChunk> {
  const body = parseEvent(await response.text().catch((error: unknown) => broken(error, reader, config).value ?? ''), config)
  if (body.error !== undefined && body.error !== null) throw reported(body, config)
  const out: ModelChunk[] = []
  reader.takeWhole(body, out)
  yield* out
  const finish = reader.finish()
  if (!finish) throw new ModelError('cut-stream', `${config.id}: cut-stream: the reply is no whole reply`)
  yield finish
}

function reported(event: JsonObject, { id, redact }: WireConfig): ModelError {
  return reportedError({ id, failure: failureOf(event) ?? { message: '', type: '', code: '' }, redact })
}

/** Reads what follows a complete reply, so that its connection can be used again. */
async function drain(body: ReadableStreamDefaultReader<Uint8Array>, transfer: AbortController): Promise<void> {
  const timer = setTimeout(() => transfer.abort(), drainMs).unref()
  try {
    while (!(await body.read()).done);
  } catch {
    // The reply is complete; how its connection ends concerns nobody.
  } finally {
    clearTimeout(timer)
  }
}
