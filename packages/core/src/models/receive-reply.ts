import { BatonError, messageOf } from '../errors.ts'
import type { Usage } from '../events/model-events.ts'
import type { Clock } from './clock.ts'
import type { ReplyCollector } from './collect-reply.ts'
import { createReplyCollector } from './collect-reply.ts'
import type { Interrupt } from './interrupt.ts'
import type { CompletionRequest, Model, ModelChunk, ModelRequest } from './model.ts'
import { ModelError } from './model.ts'

/** What is sent to one model. */
export interface ModelSend {
  readonly request: ModelRequest
  /** Sent in place of `request` to a model that fills in the middle. */
  readonly completion?: CompletionRequest | undefined
}

/** What {@link receiveReply} works with. */
export interface ReceiveOptions {
  readonly model: Model
  readonly send: ModelSend
  readonly interrupt: Interrupt
  readonly clock: Clock
  /** Milliseconds until the first chunk has to be there. */
  readonly firstChunkMs: number
  /** Milliseconds from one chunk to the next. */
  readonly betweenChunksMs: number
  /** Called when the first chunk is there, before anything is made of it. */
  onFirstChunk?(): void
  onDelta?(kind: 'text' | 'reasoning', text: string): void
}

/** What one transfer came to. */
export type Received = { readonly ms: number; readonly firstChunkMs?: number | undefined } & (
  | { readonly whole: ReplyCollector; readonly error?: undefined }
  | { readonly whole?: undefined; readonly error: ModelError; readonly usage?: Usage | undefined }
)

/**
 * Sends one request and collects its reply. However it ends, the transfer is over: the model's signal aborts where the stream did not end by
 * itself, and the stream is closed without waiting for a provider that will not let go.
 *
 * @returns the failure of the model as a value; throws only on the caller's abort, or what `onDelta` throws.
 */
export async function receiveReply(options: ReceiveOptions): Promise<Received> {
  const { model, interrupt } = options
  const collector = createReplyCollector(model.id)
  const controller = new AbortController()
  const watch = watchSilence(options)
  let stream: AsyncIterator<ModelChunk> | undefined
  let ended = false
  interrupt.onAbort = (reason) => controller.abort(reason)
  try {
    if (interrupt.aborted) throw interrupt.aborted
    stream = open(options, controller.signal)[Symbol.asyncIterator]()
    for (;;) {
      const next = await interrupt.race(stream.next())
      if (interrupt.aborted) throw interrupt.aborted
      if (next.done) break
      if (watch.heard()) options.onFirstChunk?.()
      collector.add(next.value)
      const { type } = next.value
      if ((type === 'text' || type === 'reasoning') && options.onDelta) deliver(options.onDelta, type, next.value.text)
    }
    ended = true
    collector.end()
    return { ...watch.timing(), whole: collector }
  } catch (error) {
    if (interrupt.aborted) throw interrupt.aborted
    if (error instanceof CallbackError) throw error.cause
    // The reply is whole; only the end of the transfer does not come.
    if (error === watch.silence && collector.finished) return { ...watch.timing(), whole: collector }
    return { ...watch.timing(), error: modelErrorOf(error, model), usage: collector.usage }
  } finally {
    watch.stop()
    interrupt.onAbort = undefined
    if (!ended) {
      controller.abort(interrupt.aborted ?? new BatonError('ABORTED', 'The transfer was given up.'))
      closeStream(stream)
    }
  }
}

function open({ model, send }: ReceiveOptions, signal: AbortSignal): AsyncIterable<ModelChunk> {
  const { request, completion } = send
  return completion && model.complete ? model.complete(completion, { signal }) : model.generate(request, { signal })
}

/** Keeps what a listener throws apart from what a model throws. */
class CallbackError extends Error {}

function deliver(onDelta: NonNullable<ReceiveOptions['onDelta']>, kind: 'text' | 'reasoning', text: string): void {
  try {
    onDelta(kind, text)
  } catch (error) {
    throw new CallbackError('onDelta failed', { cause: error })
  }
}

interface SilenceWatch {
  /** The error that broke off the transfer, once it did. */
  readonly silence: ModelError | undefined
  /** Tells whether it was the first chunk. */
  heard(): boolean
  timing(): { ms: number; firstChunkMs?: number }
  stop(): void
}

/** Limits the silence of a stream with one timer: a chunk only notes the time, and the timer that fires early is set again. */
function watchSilence({ model, clock, interrupt, firstChunkMs, betweenChunksMs }: ReceiveOptions): SilenceWatch {
  const startedAt = clock.now()
  let firstAt: number | undefined
  let lastAt = startedAt
  let silence: ModelError | undefined
  let cancel = clock.setTimer(check, firstChunkMs)

  function check(): void {
    const limitMs = firstAt === undefined ? firstChunkMs : betweenChunksMs
    const leftMs = lastAt + limitMs - clock.now()
    if (leftMs > 0) {
      cancel = clock.setTimer(check, leftMs)
      return
    }
    const what = firstAt === undefined ? 'sent nothing' : 'stopped in the middle of its reply and sent nothing'
    silence = new ModelError('timeout', `${model.id} ${what} for ${limitMs / 1000} s; the transfer was given up.`)
    interrupt.trip(silence)
  }

  return {
    get silence() {
      return silence
    },
    heard() {
      lastAt = clock.now()
      if (firstAt !== undefined) return false
      firstAt = lastAt
      // The timer for the first chunk may be set for later than the limit that holds from here on.
      if (betweenChunksMs < firstChunkMs) {
        cancel()
        cancel = clock.setTimer(check, betweenChunksMs)
      }
      return true
    },
    timing: () => ({
      ms: Math.max(0, Math.round(clock.now() - startedAt)),
      ...(firstAt !== undefined && { firstChunkMs: Math.max(0, Math.round(firstAt - startedAt)) }),
    }),
    stop: () => cancel(),
  }
}

/** Not awaited: a generator that hangs in its own await never answers. */
function closeStream(stream: AsyncIterator<ModelChunk> | undefined): void {
  try {
    stream?.return?.()?.then(undefined, () => {})
  } catch {
    // A stream that cannot be closed has nothing more to say either.
  }
}

/**
 * What a provider threw as a {@link ModelError}: its own, also from another copy of this package. Another error of Baton's own is no passing
 * trouble of the model, so it is not sent again; what is unknown may be.
 */
function modelErrorOf(error: unknown, model: Model): ModelError {
  if (error instanceof ModelError) return error
  if (!BatonError.isInstance(error) || error.code === 'ABORTED')
    return new ModelError('server', `${model.id} failed in an unexpected way: ${messageOf(error)}`, { cause: error })
  if ('kind' in error && 'retryable' in error) return error as ModelError
  return new ModelError('bad-request', `${model.id} could not take the request: ${error.message}`, { cause: error })
}
