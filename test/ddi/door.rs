// The driver's door as a program of Rust's standard library meets it: lists /dev, opens the node, asks GetApiRev and
// GetDeviceInfo from many threads over one handle. Built by rust.sh; no crates, so ioctl is declared by hand.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;

extern "C" {
    fn ioctl(fd: i32, request: u64, ...) -> i32;
}

const GENERIC: u64 = 0xC070_4203;
const INFO: u64 = 0xC0B0_4204;
const GET_API_REV: [u8; 14] = [0xa2, 0x18, 0, 0xa1, 0x18, 2, 0x1a, 0, 0, 0x03, 0xea, 0x18, 1, 0xa0];

fn put<const N: usize>(block: &mut [u8], at: usize, bytes: [u8; N]) {
    block[at..at + N].copy_from_slice(&bytes);
}

fn ask(file: &File, request: &[u8]) -> Vec<u8> {
    let mut response = vec![0u8; 8192];
    let mut block = [0u8; 112];
    put(&mut block, 0, 112u32.to_ne_bytes());
    put(&mut block, 4, 0xCD1D_DEADu32.to_ne_bytes());
    put(&mut block, 8, 100u32.to_ne_bytes());
    put(&mut block, 32, (request.len() as u32).to_ne_bytes());
    put(&mut block, 40, (request.as_ptr() as u64).to_ne_bytes());
    put(&mut block, 48, 8192u32.to_ne_bytes());
    put(&mut block, 56, (response.as_mut_ptr() as u64).to_ne_bytes());
    let result = unsafe { ioctl(file.as_raw_fd(), GENERIC, block.as_mut_ptr()) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    let len = u32::from_ne_bytes(block[100..104].try_into().unwrap());
    response.truncate(len as usize);
    response
}

fn list() -> Vec<String> {
    assert!(fs::metadata("/").unwrap().is_dir() && fs::metadata("/dev").unwrap().is_dir());
    let mut names: Vec<String> = fs::read_dir("/dev")
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let _ = entry.file_type();
            entry.path().to_string_lossy().into_owned()
        })
        .filter(|name| name.starts_with("/dev/azihsm"))
        .collect();
    names.sort();
    names
}

fn open(path: &str) -> File {
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

fn main() {
    let names = list();
    assert_eq!(names, ["/dev/azihsm0"]);
    assert!(Path::new(&names[0]).exists());
    let mut info = [0u8; 176];
    put(&mut info, 0, 176u32.to_ne_bytes());
    let query = open(&names[0]);
    assert_eq!(unsafe { ioctl(query.as_raw_fd(), INFO, info.as_mut_ptr()) }, 0);
    for field in [110..126usize, 77..110, 39..72, 6..39] {
        let text = std::str::from_utf8(&info[field]).unwrap().trim_end_matches('\0');
        assert!(!text.is_empty());
    }
    drop(query);
    let file = Arc::new(open(&names[0]));
    let first = ask(&file, &GET_API_REV);
    assert_eq!(first.len(), 58);
    let threads: Vec<_> = (0..64)
        .map(|_| {
            let file = Arc::clone(&file);
            let first = first.clone();
            std::thread::spawn(move || {
                for _ in 0..100 {
                    assert_eq!(ask(&file, &GET_API_REV), first);
                }
                assert_eq!(list().len(), 1);
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let clone = file.try_clone().unwrap();
    drop(file);
    assert_eq!(ask(&clone, &GET_API_REV), first);
    // A program it starts finds its own device; this one keeps its own.
    let child = std::process::Command::new("/bin/ls").arg("/dev").output().unwrap();
    assert!(String::from_utf8_lossy(&child.stdout).lines().any(|line| line == "azihsm0"));
    assert_eq!(ask(&clone, &GET_API_REV), first);
    println!("listed, opened and asked by 64 threads");
}
