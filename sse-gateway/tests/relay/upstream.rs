//! What an upstream sends that a test plays itself.

use crate::wire::Wire;

impl Wire {
    /// Opens an event stream.
    pub(crate) async fn open_stream(&mut self) {
        self.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
    }

    /// Sends a piece of it.
    pub(crate) async fn piece(&mut self, text: &str) {
        self.send(format!("{:x}\r\n{text}\r\n", text.len())).await;
    }

    /// Sends an event that has no id for each number.
    pub(crate) async fn numbers(&mut self, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            self.piece(&format!("data: {number}\n\n")).await;
        }
    }

    /// Sends an event that has an id for each number.
    pub(crate) async fn numbers_with_ids(&mut self, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            self.piece(&format!("id: {number}\ndata: {number}\n\n"))
                .await;
        }
    }

    pub(crate) async fn end_stream(&mut self) {
        self.send("0\r\n\r\n").await;
    }
}

pub(crate) fn numbers(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers
        .into_iter()
        .map(|number| number.to_string())
        .collect()
}
