export default function Page() {
  return <p>clerk-auth</p>;
}
