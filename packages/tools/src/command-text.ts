import type { Sandbox } from '@baton-sdk/core'

/** How a process ended. */
export type ExitStatus = Awaited<Awaited<ReturnType<Sandbox['spawn']>>['exit']>

/** How a command ended, in words for the model. */
export function describeExit(exit: ExitStatus, timeoutMs?: number): string {
  if (exit.outOfMemory === true) return 'killed: out of memory'
  switch (exit.reason) {
    case 'exited':
      return `exit code ${exit.code ?? 'unknown'}`
    case 'signaled':
      return `ended by ${exit.signal ?? 'a signal'}`
    case 'timeout':
      return `killed: still running after ${timeoutMs === undefined ? 'its time limit' : `${timeoutMs / 1000} s`}`
    case 'silence':
      return 'killed: no output for too long'
    case 'aborted':
      return 'stopped: the call was aborted'
    case 'lost':
      return 'lost: the sandbox went away while it ran'
  }
}

/** Output and a closing remark, each on lines of its own. */
export function withRemark(output: string, remark: string): string {
  return `${output}${output === '' || output.endsWith('\n') ? '' : '\n'}[${remark}]`
}
