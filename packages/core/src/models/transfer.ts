import type { Execution, Lane, Sent } from './execution.ts'
import type { AdmittedCall } from './health.ts'
import type { Interrupt } from './interrupt.ts'
import type { Received } from './receive-reply.ts'
import { receiveReply } from './receive-reply.ts'

/** One send of a call. */
export interface TransferOptions {
  readonly lane: Lane
  readonly sent: Sent
  readonly admitted: AdmittedCall
  readonly interrupt: Interrupt
  /** Called when the first chunk is there, before anything is made of it. */
  onFirstChunk?(): void
}

/** Sends to the model of one attempt. The health book is told how it went on every path. */
export async function transfer(execution: Execution, options: TransferOptions): Promise<Received> {
  const { call, clock, timing } = execution
  const { lane, sent, admitted, interrupt, onFirstChunk } = options
  const { model } = lane.attempt
  try {
    call.onSend?.(model, sent.attempt)
    const received = await receiveReply({
      model,
      send: call.sendFor?.(model) ?? call,
      interrupt,
      clock,
      firstChunkMs: timing.firstChunkMs,
      betweenChunksMs: timing.betweenChunksMs,
      ...(onFirstChunk && { onFirstChunk }),
      ...(call.onDelta && { onDelta: (kind, text) => call.onDelta?.(kind, text, sent.attempt) }),
    })
    const { ms, firstChunkMs } = received
    if (received.error) admitted.failed(received.error, received.usage)
    else admitted.succeeded({ ...received.whole.usage, ms, firstChunkMs })
    return received
  } finally {
    admitted.dropped()
  }
}
