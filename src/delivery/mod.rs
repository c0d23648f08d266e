//! From a company's log to its recruiters' sockets, once and in order.
