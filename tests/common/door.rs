//! A door between a client and its Clerk that can be turned to another house, or to nobody, while the client knows one
//! address only.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Clone, Copy)]
pub enum Way {
    To(SocketAddr),
    /// Whoever comes in hears nothing.
    Nowhere,
    /// The door is shut again at once.
    Shut,
}

struct Inside {
    way: Way,
    open: Vec<TcpStream>,
}

pub struct Door {
    pub addr: SocketAddr,
    inside: Arc<Mutex<Inside>>,
    /// How many have come in.
    visitors: Arc<AtomicUsize>,
}

impl Door {
    pub fn new(way: Way) -> Door {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let door =
            Door { addr, inside: Arc::new(Mutex::new(Inside { way, open: Vec::new() })), visitors: Arc::default() };
        let (inside, visitors) = (Arc::downgrade(&door.inside), door.visitors.clone());
        std::thread::spawn(move || {
            for visitor in listener.incoming() {
                let Some(inside) = inside.upgrade() else { return };
                visitors.fetch_add(1, Ordering::SeqCst);
                inside.lock().unwrap().lead(visitor.unwrap());
            }
        });
        door
    }

    /// From now on; those inside have to leave.
    pub fn turn(&self, way: Way) {
        let mut inside = self.inside.lock().unwrap();
        inside.way = way;
        for stream in inside.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn visitors(&self) -> usize {
        self.visitors.load(Ordering::SeqCst)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.turn(Way::Shut);
        self.inside = Arc::new(Mutex::new(Inside { way: Way::Shut, open: Vec::new() }));
        // Wakes the one who waits for visitors, so that it sees that the house is gone.
        let _ = TcpStream::connect(self.addr);
    }
}

impl Inside {
    fn lead(&mut self, visitor: TcpStream) {
        match self.way {
            Way::Shut => {}
            Way::Nowhere => self.open.push(visitor),
            Way::To(addr) => {
                let house = TcpStream::connect(addr).unwrap();
                for (mut from, mut to) in [(visitor.try_clone().unwrap(), house.try_clone().unwrap()), (house, visitor)]
                {
                    self.open.push(from.try_clone().unwrap());
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
            }
        }
    }
}
