import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A disk that is soon full. */
export interface SmallDisk {
  /** Where it is mounted. */
  readonly dir: string
  /** Mounting needs privileges; `BATON_REQUIRE=tmpfs` runs the tests even where it failed, and so fails them. */
  readonly isLacking: boolean
  resize(size: string): void
  remove(): void
}

/** Mounts a disk in memory, of a size as mount(8) takes it, such as `128k`. */
export function mountSmallDisk(size: string): SmallDisk {
  const dir = mkdtempSync(join(tmpdir(), 'baton-small-disk-'))
  const mounted = mount(dir, size)
  return {
    dir,
    isLacking: !mounted && !process.env.BATON_REQUIRE?.split(',').includes('tmpfs'),
    resize(to) {
      if (mounted) execFileSync('mount', ['-o', `remount,size=${to}`, dir], { stdio: 'ignore' })
    },
    remove() {
      if (mounted) execFileSync('umount', ['-l', dir], { stdio: 'ignore' })
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

function mount(dir: string, size: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'baton-test', dir], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
