//! A disk in memory that loses what was not synced, for tests.
//! - Shape: of every file, what reads see (the cache) and what would survive (the platter), with the writes between them.
//! - Invariants: a power cut keeps synced contents, and of the rest each 512-byte sector or not; of unsynced changes to
//!   directories a prefix. A sync that fails loses what it should have synced, and the next one succeeds without it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::limits::BLOCK_BYTES;

use super::{Access, Listed, Lock, Storage, StoredFile};

const SECTOR: usize = 512;

/// A small generator of numbers, so that a seed names a crash.
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below.max(1)
    }
}

#[derive(Debug, Default)]
struct Inode {
    cache: Vec<u8>,
    platter: Vec<u8>,
    /// Unsynced, oldest first: a write, or a new length.
    changes: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Debug, Default)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    safe_names: BTreeMap<PathBuf, u64>,
    name_changes: Vec<(PathBuf, Option<u64>)>,
    next_inode: u64,
    calls: u64,
    fail_call: Option<u64>,
    fired: bool,
    capacity: usize,
    /// Counts power cuts and kills: files opened before are dead.
    life: u64,
}

/// See the module's documentation. Clones are the same disk.
#[derive(Debug, Clone)]
pub(crate) struct SimulatedDisk(Arc<Mutex<State>>);

impl SimulatedDisk {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Arc::new(Mutex::new(State { capacity, ..State::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Makes the call fail that is the `number`th from now (0 is the next one).
    pub(crate) fn fail_call(&self, number: u64) {
        let mut state = self.lock();
        state.fail_call = Some(state.calls + number);
        state.fired = false;
    }

    /// Takes back what [`Self::fail_call`] asked for; says whether it happened.
    pub(crate) fn stop_failing(&self) -> bool {
        let mut state = self.lock();
        state.fail_call = None;
        state.fired
    }

    pub(crate) fn set_capacity(&self, capacity: usize) {
        self.lock().capacity = capacity;
    }

    /// The program dies; the machine lives.
    pub(crate) fn kill(&self) {
        self.lock().life += 1;
    }

    /// The machine dies.
    pub(crate) fn power_cut(&self, dice: &mut Dice) {
        let mut state = self.lock();
        let state = &mut *state;
        state.life += 1;
        let kept = dice.roll(state.name_changes.len() + 1);
        for (path, inode) in state.name_changes.drain(..).take(kept) {
            set_name(&mut state.safe_names, path, inode);
        }
        state.names = state.safe_names.clone();
        for inode in state.inodes.values_mut() {
            for change in std::mem::take(&mut inode.changes) {
                match change {
                    Change::Length(length) if dice.roll(2) == 0 => inode.platter.resize(length, 0),
                    Change::Length(_) => {}
                    Change::Write(position, bytes) => lose_some(&mut inode.platter, position, &bytes, dice),
                }
            }
            inode.cache = inode.platter.clone();
        }
    }

    /// Contents of a file as reads see it.
    pub(crate) fn contents(&self, path: &Path) -> Vec<u8> {
        let state = self.lock();
        state.inodes[&state.names[path]].cache.clone()
    }

    /// Puts a file there, synced.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.lock();
        let inode = state.new_inode();
        state.inodes.insert(inode, Inode { cache: bytes.to_vec(), platter: bytes.to_vec(), changes: Vec::new() });
        state.names.insert(path.to_path_buf(), inode);
        state.safe_names.insert(path.to_path_buf(), inode);
    }

    /// All names, in order.
    pub(crate) fn names(&self) -> Vec<PathBuf> {
        self.lock().names.keys().cloned().collect()
    }
}

fn set_name(names: &mut BTreeMap<PathBuf, u64>, path: PathBuf, inode: Option<u64>) {
    match inode {
        Some(inode) => names.insert(path, inode),
        None => names.remove(&path),
    };
}

fn put_bytes(contents: &mut Vec<u8>, position: usize, bytes: &[u8]) {
    if contents.len() < position + bytes.len() {
        contents.resize(position + bytes.len(), 0);
    }
    contents[position..position + bytes.len()].copy_from_slice(bytes);
}

/// All of a write, nothing of it, or some of its sectors.
fn lose_some(platter: &mut Vec<u8>, position: usize, bytes: &[u8], dice: &mut Dice) {
    let fate = dice.roll(3);
    let mut at = 0;
    while at < bytes.len() {
        let sector_end = (position + at) / SECTOR * SECTOR + SECTOR - position;
        let end = sector_end.min(bytes.len());
        if fate == 0 || (fate == 1 && dice.roll(2) == 0) {
            put_bytes(platter, position + at, &bytes[at..end]);
        }
        at = end;
    }
}

impl State {
    fn new_inode(&mut self) -> u64 {
        self.next_inode += 1;
        self.next_inode
    }

    fn call(&mut self) -> io::Result<()> {
        let fails = self.fail_call == Some(self.calls);
        self.calls += 1;
        self.fired |= fails;
        if fails { Err(io::Error::other("simulated fault")) } else { Ok(()) }
    }

    fn find(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename_to(&mut self, path: &Path, inode: Option<u64>) {
        set_name(&mut self.names, path.to_path_buf(), inode);
        self.name_changes.push((path.to_path_buf(), inode));
    }

    fn free(&self) -> usize {
        let used: usize = self.names.values().map(|inode| self.inodes[inode].cache.len()).sum();
        self.capacity.saturating_sub(used)
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    inode: u64,
    life: u64,
}

impl SimulatedFile {
    fn with<T>(&self, act: impl FnOnce(&mut State, u64, io::Result<()>) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.lock();
        if state.life != self.life {
            return Err(io::Error::other("the program that opened this is dead"));
        }
        let fault = state.call();
        act(&mut state, self.inode, fault)
    }
}

impl StoredFile for SimulatedFile {
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.with(|state, inode, fault| {
            let position = usize::try_from(position).unwrap();
            // A write that fails may have done a part of its work.
            let done = if fault.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
            let grows = (position + done.len()).saturating_sub(state.inodes[&inode].cache.len());
            if grows > state.free() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let file = state.inodes.get_mut(&inode).unwrap();
            put_bytes(&mut file.cache, position, done);
            file.changes.push(Change::Write(position, done.to_vec()));
            fault
        })
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.with(|state, inode, fault| {
            fault?;
            let cache = &state.inodes[&inode].cache;
            let rest = cache.get(usize::try_from(position).unwrap()..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state, inode, fault| {
            let file = state.inodes.get_mut(&inode).unwrap();
            for change in std::mem::take(&mut file.changes) {
                match change {
                    Change::Write(position, bytes) if fault.is_ok() => put_bytes(&mut file.platter, position, &bytes),
                    Change::Length(length) if fault.is_ok() => file.platter.resize(length, 0),
                    // Lost, although the cache still shows it: no later sync will try again.
                    _ => {}
                }
            }
            fault
        })
    }

    fn write_through(&self, blocks: &[u8], position: u64) -> io::Result<()> {
        let block = u64::try_from(BLOCK_BYTES).unwrap();
        assert!(position.is_multiple_of(block) && blocks.len().is_multiple_of(BLOCK_BYTES), "whole blocks only");
        assert!(blocks.as_ptr().addr().is_multiple_of(BLOCK_BYTES), "aligned memory only");
        self.write_at(blocks, position)?;
        self.sync_data()
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.with(|state, inode, fault| {
            fault?;
            let length = usize::try_from(bytes).unwrap();
            let file = state.inodes.get_mut(&inode).unwrap();
            file.cache.resize(length, 0);
            file.changes.push(Change::Length(length));
            Ok(())
        })
    }

    fn bytes(&self) -> io::Result<u64> {
        self.with(|state, inode, fault| {
            fault?;
            Ok(u64::try_from(state.inodes[&inode].cache.len()).unwrap())
        })
    }
}

#[derive(Debug)]
struct NoLock;

impl Lock for NoLock {}

impl Storage for SimulatedDisk {
    fn create_directory(&self, _path: &Path) -> io::Result<()> {
        self.lock().call()
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn Lock>> {
        self.lock().call()?;
        Ok(Box::new(NoLock))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>> {
        let mut state = self.lock();
        state.call()?;
        let within = state.names.iter().filter(|(path, _)| path.parent() == Some(directory));
        Ok(within
            .map(|(path, inode)| Listed {
                name: path.file_name().unwrap().to_string_lossy().into_owned(),
                bytes: u64::try_from(state.inodes[inode].cache.len()).unwrap(),
            })
            .collect())
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn StoredFile>> {
        let mut state = self.lock();
        state.call()?;
        state.rename_to(path, None);
        let length = usize::try_from(bytes).unwrap();
        if length > state.free() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = state.new_inode();
        let changes = vec![Change::Length(length)];
        state.inodes.insert(inode, Inode { cache: vec![0; length], platter: Vec::new(), changes });
        state.rename_to(path, Some(inode));
        Ok(Box::new(SimulatedFile { disk: self.clone(), inode, life: state.life }))
    }

    fn open(&self, path: &Path, _access: Access) -> io::Result<Box<dyn StoredFile>> {
        let mut state = self.lock();
        state.call()?;
        let inode = state.find(path)?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), inode, life: state.life }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.call()?;
        let inode = state.find(from)?;
        state.rename_to(from, None);
        state.rename_to(to, Some(inode));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.call()?;
        state.find(path)?;
        state.rename_to(path, None);
        Ok(())
    }

    fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.call()?;
        state.name_changes.clear();
        state.safe_names = state.names.clone();
        Ok(())
    }

    fn free_bytes(&self, _directory: &Path) -> io::Result<u64> {
        let mut state = self.lock();
        state.call()?;
        Ok(u64::try_from(state.free()).unwrap())
    }
}
