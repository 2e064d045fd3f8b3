import { abortedError, BatonError, messageOf, throwIfAborted } from '../errors.ts'
import type { Sandbox, SandboxProvider, ScanOptions } from './sandbox.ts'

/** What {@link wrapSandboxProvider} tells. A hook that throws changes nothing. */
export interface SandboxHooks {
  /** A sandbox is there: made, or (`fresh` false) found again. `ms` is how long that took. */
  onStarted?(sandbox: Sandbox, facts: { readonly fresh: boolean; readonly ms: number }): void
  /** A sandbox was closed; once for each. */
  onClosed?(sandbox: Sandbox): void
}

/**
 * Puts around a provider what is the same for all of them: a call that is aborted rejects at once, and a sandbox that arrives after that is
 * closed; closing happens once, however often and at the same time it is called, and again only if it failed; calls after it reject with
 * `CLOSED`; an error that is not Baton's own becomes `SANDBOX_FAILED` with its cause. The idea is kysely's `RuntimeDriver`.
 */
export function wrapSandboxProvider(provider: SandboxProvider, hooks: SandboxHooks = {}): SandboxProvider {
  const started = (sandbox: Sandbox, fresh: boolean, since: number): Sandbox => {
    const wrapped = wrapSandbox(sandbox, provider.name, hooks)
    tell(() => hooks.onStarted?.(wrapped, { fresh, ms: performance.now() - since }))
    return wrapped
  }
  return {
    name: provider.name,
    async create(spec, options = {}) {
      const since = performance.now()
      const what = `starting a ${provider.name} sandbox`
      throwIfAborted(options.signal, what)
      const arriving = guard(what, options.signal, () => provider.create(spec, options))
      const sandbox = await orAbort(arriving, options.signal, what, (late) => void late.close().catch(() => undefined))
      return started(sandbox, true, since)
    },
    async attach(id, options = {}) {
      const since = performance.now()
      const what = `finding the ${provider.name} sandbox ${id}`
      throwIfAborted(options.signal, what)
      const arriving = guard(what, options.signal, () => provider.attach(id, options))
      return started(await orAbort(arriving, options.signal, what, () => undefined), false, since)
    },
    async *list() {
      yield* guardEach(`listing ${provider.name} sandboxes`, undefined, () => provider.list())
    },
  }
}

function wrapSandbox(inner: Sandbox, provider: string, hooks: SandboxHooks): Sandbox {
  let closing: Promise<void> | undefined
  const { id, workdir, isolation } = inner
  const closedError = (what: string): BatonError =>
    new BatonError('CLOSED', `${what}: the ${provider} sandbox ${id} is closed.`, { details: { sandboxId: id } })
  const requireOpen = (what: string, signal?: AbortSignal): void => {
    if (closing !== undefined) throw closedError(what)
    throwIfAborted(signal, what)
  }
  /** An optional method, guarded, where the backend has it. */
  const optional = <A extends unknown[], R>(what: string, method: ((...args: A) => Promise<R>) | undefined) =>
    method && ((...args: A) => call(what, undefined, () => method.apply(inner, args)))
  const call = async <R>(what: string, signal: AbortSignal | undefined, run: () => Promise<R>): Promise<R> => {
    requireOpen(what, signal)
    try {
      return await guard(what, signal, run)
    } catch (error) {
      if (closing !== undefined && BatonError.isInstance(error, 'SANDBOX_FAILED')) throw closedError(what)
      throw error
    }
  }
  const attachProcess = optional('finding a process', inner.attachProcess)
  const scanning = async function* <T>(options: ScanOptions | undefined, run: () => AsyncIterable<T>): AsyncGenerator<T> {
    requireOpen('the scan', options?.signal)
    yield* guardEach('the scan', options?.signal, run)
  }
  const { scanBatches } = inner
  const snapshot = optional('taking a snapshot', inner.snapshot)
  const expose = optional('exposing a port', inner.expose)
  const sandbox: Sandbox = {
    id,
    workdir,
    isolation,
    spawn: (command, options) => call('starting a command', options?.signal, () => inner.spawn(command, options)),
    readFile: (path, options) => call(`reading ${path}`, options?.signal, () => inner.readFile(path, options)),
    writeFile: (path, data, options) => call(`writing ${path}`, options?.signal, () => inner.writeFile(path, data, options)),
    scan: (options) => scanning(options, () => inner.scan(options)),
    ...(scanBatches && { scanBatches: (options) => scanning(options, () => scanBatches.call(inner, options)) }),
    pack: (options) =>
      guardStream(
        'packing',
        options?.signal,
        () => requireOpen('packing', options?.signal),
        () => inner.pack(options),
      ),
    unpack: (tar, options) => call('unpacking', options?.signal, () => inner.unpack(tar, options)),
    ...(attachProcess && { attachProcess }),
    ...(snapshot && { snapshot }),
    ...(expose && { expose }),
    close() {
      closing ??= guard('closing the sandbox', undefined, () => inner.close()).then(
        () => tell(() => hooks.onClosed?.(sandbox)),
        (error) => {
          closing = undefined
          throw error
        },
      )
      return closing
    },
  }
  return sandbox
}

/** Runs a backend's call; what it throws becomes a Baton error. */
async function guard<R>(what: string, signal: AbortSignal | undefined, run: () => Promise<R>): Promise<R> {
  try {
    return await run()
  } catch (error) {
    throw asBatonError(error, what, signal)
  }
}

async function* guardEach<T>(what: string, signal: AbortSignal | undefined, run: () => AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* run()
  } catch (error) {
    throw asBatonError(error, what, signal)
  }
}

/** A stream that opens the backend's at the first read, and whose errors are Baton's. */
function guardStream(
  what: string,
  signal: AbortSignal | undefined,
  check: () => void,
  open: () => ReadableStream<Uint8Array>,
): ReadableStream<Uint8Array> {
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          if (reader === undefined) {
            check()
            reader = open().getReader()
          }
          const { done, value } = await reader.read()
          if (done) controller.close()
          else controller.enqueue(value)
        } catch (error) {
          controller.error(asBatonError(error, what, signal))
        }
      },
      cancel: (reason) => reader?.cancel(reason),
    },
    { highWaterMark: 0 },
  )
}

function asBatonError(error: unknown, what: string, signal: AbortSignal | undefined): BatonError {
  if (BatonError.isInstance(error)) return error
  if (signal?.aborted) return abortedError(signal, what)
  return new BatonError('SANDBOX_FAILED', `${what} failed: ${messageOf(error)}`, { cause: error })
}

/** What arrives, unless the signal aborts first: then `onLate` gets it when it arrives after all. */
function orAbort<T>(arriving: Promise<T>, signal: AbortSignal | undefined, what: string, onLate: (value: T) => void): Promise<T> {
  if (signal === undefined) return arriving
  return new Promise((resolve, reject) => {
    let aborted = false
    const abort = (): void => {
      aborted = true
      reject(abortedError(signal, what))
    }
    signal.addEventListener('abort', abort, { once: true })
    arriving.then((value) => (aborted ? onLate(value) : resolve(value)), reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

function tell(hook: () => void): void {
  try {
    hook()
  } catch {
    // What a listener does with the news is its own affair.
  }
}
