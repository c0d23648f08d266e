//! MongoDB: routes, companies, each company's append-only log, quarantine.
