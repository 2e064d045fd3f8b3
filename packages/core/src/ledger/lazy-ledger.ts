import type { Ledger } from './ledger.ts'
import { defaultMaxFileBytes } from './ledger.ts'

/** A ledger with the default limit that is made when it is first needed: most programs that only ask a model never need one. */
export function createLazyLedger(make: () => Ledger): Ledger {
  let made: Ledger | undefined
  const get = (): Ledger => {
    made ??= make()
    return made
  }
  return {
    get dir() {
      return get().dir
    },
    maxFileBytes: defaultMaxFileBytes,
    files: (commit, options) => get().files(commit, options),
    compare: (from, to, options) => get().compare(from, to, options),
    read: (file) => get().read(file),
    put: (content, mode) => get().put(content, mode),
    commit: (base, stages, options) => get().commit(base, stages, options),
    point: (taskId, commit) => get().point(taskId, commit),
    head: (taskId) => get().head(taskId),
    prune: (taskIds) => get().prune(taskIds),
    close: () => made?.close() ?? Promise.resolve(),
  }
}
